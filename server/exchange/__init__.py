"""One exchange: who answers, what is said, the model and its tools, events, the record."""
