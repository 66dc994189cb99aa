"""What is seen in an appliance, a module for each kind of thing. Parsers are apart from reading and believe nothing."""
