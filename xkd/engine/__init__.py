"""Everything that knows mmengine's Runner: configs, the model adapter, hooks, checkpoints, launching; nothing else imports mmengine."""
