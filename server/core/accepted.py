"""Types, names, patterns and bounds of requests that openapi.json documents too.

Imports nothing that is generated: scripts/generate reads it before anything is generated.
"""

ROLES = ("system", "user", "assistant", "tool", "developer")
COMPACTIONS = ("compaction", "compaction_summary")
"""The types of items that come back as a message that instructs the model."""
IGNORED = frozenset(
    {
        "reasoning",
        "file_search_call",
        "web_search_call",
        "code_interpreter_call",
        "image_generation_call",
        "computer_call",
        "computer_call_output",
        "mcp_list_tools",
        "mcp_approval_request",
        "mcp_approval_response",
        "tool_search_call",
        "tool_search_output",
        "additional_tools",
        "program",
        "program_output",
    }
)
"""The types of items that no model here has a use for: another provider's thoughts, its hosted tools and
their screens."""
CALLS = {
    "custom_tool_call": "input",
    "local_shell_call": "action",
    "shell_call": "action",
    "apply_patch_call": "operation",
}
"""The calls of tools that are not functions, and the member that has their arguments. A model gets them as
function calls."""
CALL_OUTPUTS = frozenset(
    {"custom_tool_call_output", "local_shell_call_output", "shell_call_output", "apply_patch_call_output"}
)
TEXT_PARTS = frozenset({"text", "input_text", "output_text"})
MOST_MESSAGES = 10_000
MOST_TOOLS = 128
"""Per request."""
MOST_SESSION_NAME = 40
"""Characters."""
FUNCTION_NAME = "[A-Za-z0-9_-]{1,64}"
E164 = r"\+[1-9][0-9]{1,14}"
ID = (
    r"(?:(?:resp|msg|fc|conv|chatcmpl)[_-])?"
    r"([0-9a-fA-F]{8})-?([0-9a-fA-F]{4})-?([0-9a-fA-F]{4})-?([0-9a-fA-F]{4})-?([0-9a-fA-F]{12})"
)
"""A UUID, bare or with the prefix that the OpenAI forms show."""
