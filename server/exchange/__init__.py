"""One exchange: agent, input, the model and its tools, events, the record."""
