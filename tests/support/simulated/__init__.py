"""A whole monitor on dummy clouds and a fake clock, driven by a seed. Only clock, executor and trigger differ from
production."""
