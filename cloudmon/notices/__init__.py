"""Pure: who is told of what, in which words, and when what did not arrive is tried again. Nobody is spoken to here."""
