"""First screens of the report: how good the model is, where it errs, and what it relies on."""
