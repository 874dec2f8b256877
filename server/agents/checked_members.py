"""Members of assistants, squads and tools that a chat uses: those are checked, the others are stored as sent.

Only tables, read by `documents.py` and by the generator of the OpenAPI document.
"""

from typing import Any

Members = dict[str, Any]
"""None: the whole member; a dict: these members of it."""

TOOL: Members = dict.fromkeys(
    (
        "type",
        "function",
        "name",
        "description",
        "method",
        "url",
        "body",
        "headers",
        "timeoutSeconds",
        "backoffPlan",
        "server",
    )
)
ASSISTANT: Members = {
    **dict.fromkeys(
        (
            "name",
            "firstMessage",
            "firstMessageMode",
            "server",
            "metadata",
            "credentials",
            "chatSystemInstructionMode",
            "exposeReasoning",
        )
    ),
    "model": {
        **dict.fromkeys(
            (
                "provider",
                "model",
                "messages",
                "systemPrompt",
                "toolIds",
                "temperature",
                "maxTokens",
                "thinking",
                "knowledgeBase",
                "url",
            )
        ),
        "tools": TOOL,
    },
}
SQUAD: Members = dict.fromkeys(("name", "members", "membersOverrides"))
