"""A real monitor on a dummy cloud in a file, whose process is killed at named points, and the laws it has to keep."""
