"""The effectful shell: observe, settle, decide, record, act, record, meter. One tick at a time."""
