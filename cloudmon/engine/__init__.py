"""When work runs, and on which thread. Is handed callables; knows no monitor, no store and no provider."""
