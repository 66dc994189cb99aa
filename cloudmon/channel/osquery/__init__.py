"""osquery's own remote API, so that any host which runs osqueryd is a monitored appliance, with no agent of ours in it.

``endpoints.py`` joins it; ``hosts.py`` makes reports of what hosts send. Pure: ``bodies.py`` reads what comes,
``queries.py`` is what they are asked, ``mapping.py`` and ``applications.py`` make the one model of their rows,
``folding.py`` adds up lines to a state, ``nodekeys.py`` are their keys, ``flags.py`` is what a host is started with.
"""
