"""The agents that answer: assistants, squads, tools, knowledge bases, templates."""
