"""Who answers, and with what: assistants, squads, tools, knowledge bases, templates."""
