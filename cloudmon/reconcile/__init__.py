"""Pure: wanted + seen + recent actions -> plan, and breakers on the plan. No I/O, no clock, no logger."""
