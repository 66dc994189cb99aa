"""The server side of the appliance channel: enrolment, signed reports, commands that wait to be fetched.

It knows the store and no monitor: who runs both joins them. ``PROTOCOL.md`` beside this file says what goes over the
wire, for people who write other agents.
"""
