"""Models: checkpoints, score files, servers, callables and baselines behind two protocols."""
