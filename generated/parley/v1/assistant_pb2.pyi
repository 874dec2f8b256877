import datetime

from generated.buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Assistant(_message.Message):
    __slots__ = ("id", "org_id", "created_at", "updated_at", "document", "chat_system_instruction_mode", "expose_reasoning", "name", "model", "first_message", "first_message_mode", "server", "metadata", "credentials", "transcriber", "voice", "first_message_interruptions_enabled", "voicemail_detection", "client_messages", "server_messages", "silence_timeout_seconds", "max_duration_seconds", "background_sound", "background_denoising_enabled", "model_output_in_messages_enabled", "transport_configurations", "observability_plan", "hooks", "voicemail_message", "end_call_message", "end_call_phrases", "compliance_plan", "background_speech_denoising_plan", "analysis_plan", "artifact_plan", "message_plan", "start_speaking_plan", "stop_speaking_plan", "monitor_plan", "credential_ids", "keypad_input_plan", "warnings")
    ID_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    CHAT_SYSTEM_INSTRUCTION_MODE_FIELD_NUMBER: _ClassVar[int]
    EXPOSE_REASONING_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FIRST_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIRST_MESSAGE_MODE_FIELD_NUMBER: _ClassVar[int]
    SERVER_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    CREDENTIALS_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIBER_FIELD_NUMBER: _ClassVar[int]
    VOICE_FIELD_NUMBER: _ClassVar[int]
    FIRST_MESSAGE_INTERRUPTIONS_ENABLED_FIELD_NUMBER: _ClassVar[int]
    VOICEMAIL_DETECTION_FIELD_NUMBER: _ClassVar[int]
    CLIENT_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    SERVER_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    SILENCE_TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MAX_DURATION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_SOUND_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_DENOISING_ENABLED_FIELD_NUMBER: _ClassVar[int]
    MODEL_OUTPUT_IN_MESSAGES_ENABLED_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_CONFIGURATIONS_FIELD_NUMBER: _ClassVar[int]
    OBSERVABILITY_PLAN_FIELD_NUMBER: _ClassVar[int]
    HOOKS_FIELD_NUMBER: _ClassVar[int]
    VOICEMAIL_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    END_CALL_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    END_CALL_PHRASES_FIELD_NUMBER: _ClassVar[int]
    COMPLIANCE_PLAN_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_SPEECH_DENOISING_PLAN_FIELD_NUMBER: _ClassVar[int]
    ANALYSIS_PLAN_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_PLAN_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_PLAN_FIELD_NUMBER: _ClassVar[int]
    START_SPEAKING_PLAN_FIELD_NUMBER: _ClassVar[int]
    STOP_SPEAKING_PLAN_FIELD_NUMBER: _ClassVar[int]
    MONITOR_PLAN_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_IDS_FIELD_NUMBER: _ClassVar[int]
    KEYPAD_INPUT_PLAN_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    id: str
    org_id: str
    created_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    document: _struct_pb2.Struct
    chat_system_instruction_mode: str
    expose_reasoning: bool
    name: str
    model: AssistantModel
    first_message: str
    first_message_mode: str
    server: WebhookServer
    metadata: _struct_pb2.Struct
    credentials: _containers.RepeatedCompositeFieldContainer[AssistantCredential]
    transcriber: Transcriber
    voice: Voice
    first_message_interruptions_enabled: bool
    voicemail_detection: VoicemailDetection
    client_messages: _containers.RepeatedScalarFieldContainer[str]
    server_messages: _containers.RepeatedScalarFieldContainer[str]
    silence_timeout_seconds: float
    max_duration_seconds: float
    background_sound: str
    background_denoising_enabled: bool
    model_output_in_messages_enabled: bool
    transport_configurations: _containers.RepeatedCompositeFieldContainer[TransportConfiguration]
    observability_plan: ObservabilityPlan
    hooks: _containers.RepeatedCompositeFieldContainer[AssistantHook]
    voicemail_message: str
    end_call_message: str
    end_call_phrases: _containers.RepeatedScalarFieldContainer[str]
    compliance_plan: CompliancePlan
    background_speech_denoising_plan: BackgroundSpeechDenoisingPlan
    analysis_plan: AnalysisPlan
    artifact_plan: ArtifactPlan
    message_plan: MessagePlan
    start_speaking_plan: StartSpeakingPlan
    stop_speaking_plan: StopSpeakingPlan
    monitor_plan: MonitorPlan
    credential_ids: _containers.RepeatedScalarFieldContainer[str]
    keypad_input_plan: KeypadInputPlan
    warnings: _struct_pb2.ListValue
    def __init__(self, id: _Optional[str] = ..., org_id: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., document: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., chat_system_instruction_mode: _Optional[str] = ..., expose_reasoning: _Optional[bool] = ..., name: _Optional[str] = ..., model: _Optional[_Union[AssistantModel, _Mapping]] = ..., first_message: _Optional[str] = ..., first_message_mode: _Optional[str] = ..., server: _Optional[_Union[WebhookServer, _Mapping]] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., credentials: _Optional[_Iterable[_Union[AssistantCredential, _Mapping]]] = ..., transcriber: _Optional[_Union[Transcriber, _Mapping]] = ..., voice: _Optional[_Union[Voice, _Mapping]] = ..., first_message_interruptions_enabled: _Optional[bool] = ..., voicemail_detection: _Optional[_Union[VoicemailDetection, _Mapping]] = ..., client_messages: _Optional[_Iterable[str]] = ..., server_messages: _Optional[_Iterable[str]] = ..., silence_timeout_seconds: _Optional[float] = ..., max_duration_seconds: _Optional[float] = ..., background_sound: _Optional[str] = ..., background_denoising_enabled: _Optional[bool] = ..., model_output_in_messages_enabled: _Optional[bool] = ..., transport_configurations: _Optional[_Iterable[_Union[TransportConfiguration, _Mapping]]] = ..., observability_plan: _Optional[_Union[ObservabilityPlan, _Mapping]] = ..., hooks: _Optional[_Iterable[_Union[AssistantHook, _Mapping]]] = ..., voicemail_message: _Optional[str] = ..., end_call_message: _Optional[str] = ..., end_call_phrases: _Optional[_Iterable[str]] = ..., compliance_plan: _Optional[_Union[CompliancePlan, _Mapping]] = ..., background_speech_denoising_plan: _Optional[_Union[BackgroundSpeechDenoisingPlan, _Mapping]] = ..., analysis_plan: _Optional[_Union[AnalysisPlan, _Mapping]] = ..., artifact_plan: _Optional[_Union[ArtifactPlan, _Mapping]] = ..., message_plan: _Optional[_Union[MessagePlan, _Mapping]] = ..., start_speaking_plan: _Optional[_Union[StartSpeakingPlan, _Mapping]] = ..., stop_speaking_plan: _Optional[_Union[StopSpeakingPlan, _Mapping]] = ..., monitor_plan: _Optional[_Union[MonitorPlan, _Mapping]] = ..., credential_ids: _Optional[_Iterable[str]] = ..., keypad_input_plan: _Optional[_Union[KeypadInputPlan, _Mapping]] = ..., warnings: _Optional[_Union[_struct_pb2.ListValue, _Mapping]] = ...) -> None: ...

class AssistantModel(_message.Message):
    __slots__ = ("provider", "model", "messages", "system_prompt", "tools", "tool_ids", "temperature", "max_tokens", "thinking", "knowledge_base", "knowledge_base_id", "url", "emotion_recognition_enabled", "num_fast_turns")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_PROMPT_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    TOOL_IDS_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    THINKING_FIELD_NUMBER: _ClassVar[int]
    KNOWLEDGE_BASE_FIELD_NUMBER: _ClassVar[int]
    KNOWLEDGE_BASE_ID_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    EMOTION_RECOGNITION_ENABLED_FIELD_NUMBER: _ClassVar[int]
    NUM_FAST_TURNS_FIELD_NUMBER: _ClassVar[int]
    provider: str
    model: str
    messages: _containers.RepeatedCompositeFieldContainer[AssistantModelMessage]
    system_prompt: str
    tools: _containers.RepeatedCompositeFieldContainer[AssistantTool]
    tool_ids: _containers.RepeatedScalarFieldContainer[str]
    temperature: float
    max_tokens: int
    thinking: ModelThinking
    knowledge_base: KnowledgeBase
    knowledge_base_id: str
    url: str
    emotion_recognition_enabled: bool
    num_fast_turns: float
    def __init__(self, provider: _Optional[str] = ..., model: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[AssistantModelMessage, _Mapping]]] = ..., system_prompt: _Optional[str] = ..., tools: _Optional[_Iterable[_Union[AssistantTool, _Mapping]]] = ..., tool_ids: _Optional[_Iterable[str]] = ..., temperature: _Optional[float] = ..., max_tokens: _Optional[int] = ..., thinking: _Optional[_Union[ModelThinking, _Mapping]] = ..., knowledge_base: _Optional[_Union[KnowledgeBase, _Mapping]] = ..., knowledge_base_id: _Optional[str] = ..., url: _Optional[str] = ..., emotion_recognition_enabled: _Optional[bool] = ..., num_fast_turns: _Optional[float] = ...) -> None: ...

class AssistantModelMessage(_message.Message):
    __slots__ = ("role", "content")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    role: str
    content: _struct_pb2.Value
    def __init__(self, role: _Optional[str] = ..., content: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...

class ModelThinking(_message.Message):
    __slots__ = ("type", "budget_tokens")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    BUDGET_TOKENS_FIELD_NUMBER: _ClassVar[int]
    type: str
    budget_tokens: int
    def __init__(self, type: _Optional[str] = ..., budget_tokens: _Optional[int] = ...) -> None: ...

class KnowledgeBase(_message.Message):
    __slots__ = ("provider", "server")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    SERVER_FIELD_NUMBER: _ClassVar[int]
    provider: str
    server: WebhookServer
    def __init__(self, provider: _Optional[str] = ..., server: _Optional[_Union[WebhookServer, _Mapping]] = ...) -> None: ...

class AssistantTool(_message.Message):
    __slots__ = ("type", "function", "name", "description", "method", "url", "body", "headers", "timeout_seconds", "backoff_plan", "variable_extraction_plan", "messages", "server")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_PLAN_FIELD_NUMBER: _ClassVar[int]
    VARIABLE_EXTRACTION_PLAN_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    SERVER_FIELD_NUMBER: _ClassVar[int]
    type: str
    function: ToolFunction
    name: str
    description: str
    method: str
    url: str
    body: JsonSchema
    headers: JsonSchema
    timeout_seconds: float
    backoff_plan: BackoffPlan
    variable_extraction_plan: VariableExtractionPlan
    messages: _containers.RepeatedCompositeFieldContainer[AssistantToolMessage]
    server: WebhookServer
    def __init__(self, type: _Optional[str] = ..., function: _Optional[_Union[ToolFunction, _Mapping]] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., method: _Optional[str] = ..., url: _Optional[str] = ..., body: _Optional[_Union[JsonSchema, _Mapping]] = ..., headers: _Optional[_Union[JsonSchema, _Mapping]] = ..., timeout_seconds: _Optional[float] = ..., backoff_plan: _Optional[_Union[BackoffPlan, _Mapping]] = ..., variable_extraction_plan: _Optional[_Union[VariableExtractionPlan, _Mapping]] = ..., messages: _Optional[_Iterable[_Union[AssistantToolMessage, _Mapping]]] = ..., server: _Optional[_Union[WebhookServer, _Mapping]] = ...) -> None: ...

class ToolFunction(_message.Message):
    __slots__ = ("name", "description", "parameters", "strict")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    parameters: _struct_pb2.Struct
    strict: bool
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., parameters: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., strict: _Optional[bool] = ...) -> None: ...

class AssistantToolMessage(_message.Message):
    __slots__ = ("type", "content", "contents", "blocking", "conditions")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    BLOCKING_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    type: str
    content: str
    contents: _containers.RepeatedCompositeFieldContainer[_struct_pb2.Value]
    blocking: bool
    conditions: _containers.RepeatedCompositeFieldContainer[AssistantToolMessageCondition]
    def __init__(self, type: _Optional[str] = ..., content: _Optional[str] = ..., contents: _Optional[_Iterable[_Union[_struct_pb2.Value, _Mapping]]] = ..., blocking: _Optional[bool] = ..., conditions: _Optional[_Iterable[_Union[AssistantToolMessageCondition, _Mapping]]] = ...) -> None: ...

class AssistantToolMessageCondition(_message.Message):
    __slots__ = ("operator", "param", "value")
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    PARAM_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    operator: str
    param: str
    value: _struct_pb2.Value
    def __init__(self, operator: _Optional[str] = ..., param: _Optional[str] = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...

class VariableExtractionPlan(_message.Message):
    __slots__ = ("schema", "aliases")
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    schema: JsonSchema
    aliases: _containers.RepeatedCompositeFieldContainer[VariableExtractionAlias]
    def __init__(self, schema: _Optional[_Union[JsonSchema, _Mapping]] = ..., aliases: _Optional[_Iterable[_Union[VariableExtractionAlias, _Mapping]]] = ...) -> None: ...

class VariableExtractionAlias(_message.Message):
    __slots__ = ("key", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class JsonSchema(_message.Message):
    __slots__ = ("type", "items", "properties", "description", "pattern", "format", "required", "enum", "title")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    ENUM_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    type: _struct_pb2.Value
    items: _struct_pb2.Struct
    properties: _struct_pb2.Struct
    description: str
    pattern: str
    format: str
    required: _containers.RepeatedScalarFieldContainer[str]
    enum: _containers.RepeatedCompositeFieldContainer[_struct_pb2.Value]
    title: str
    def __init__(self, type: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., items: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., properties: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., description: _Optional[str] = ..., pattern: _Optional[str] = ..., format: _Optional[str] = ..., required: _Optional[_Iterable[str]] = ..., enum: _Optional[_Iterable[_Union[_struct_pb2.Value, _Mapping]]] = ..., title: _Optional[str] = ...) -> None: ...

class WebhookServer(_message.Message):
    __slots__ = ("url", "timeout_seconds", "headers", "backoff_plan", "secret")
    URL_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_PLAN_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    url: str
    timeout_seconds: float
    headers: _struct_pb2.Struct
    backoff_plan: BackoffPlan
    secret: str
    def __init__(self, url: _Optional[str] = ..., timeout_seconds: _Optional[float] = ..., headers: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., backoff_plan: _Optional[_Union[BackoffPlan, _Mapping]] = ..., secret: _Optional[str] = ...) -> None: ...

class BackoffPlan(_message.Message):
    __slots__ = ("type", "max_retries", "base_delay_seconds")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MAX_RETRIES_FIELD_NUMBER: _ClassVar[int]
    BASE_DELAY_SECONDS_FIELD_NUMBER: _ClassVar[int]
    type: str
    max_retries: int
    base_delay_seconds: float
    def __init__(self, type: _Optional[str] = ..., max_retries: _Optional[int] = ..., base_delay_seconds: _Optional[float] = ...) -> None: ...

class AssistantCredential(_message.Message):
    __slots__ = ("provider", "api_key", "name")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    API_KEY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    provider: str
    api_key: str
    name: str
    def __init__(self, provider: _Optional[str] = ..., api_key: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class Transcriber(_message.Message):
    __slots__ = ("provider", "language", "confidence_threshold", "enable_universal_streaming_api", "format_turns", "end_of_turn_confidence_threshold", "min_end_of_turn_silence_when_confident", "word_finalization_max_wait_time", "max_turn_silence", "realtime_url", "word_boost", "end_utterance_silence_threshold", "disable_partial_transcripts", "fallback_plan")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    ENABLE_UNIVERSAL_STREAMING_API_FIELD_NUMBER: _ClassVar[int]
    FORMAT_TURNS_FIELD_NUMBER: _ClassVar[int]
    END_OF_TURN_CONFIDENCE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    MIN_END_OF_TURN_SILENCE_WHEN_CONFIDENT_FIELD_NUMBER: _ClassVar[int]
    WORD_FINALIZATION_MAX_WAIT_TIME_FIELD_NUMBER: _ClassVar[int]
    MAX_TURN_SILENCE_FIELD_NUMBER: _ClassVar[int]
    REALTIME_URL_FIELD_NUMBER: _ClassVar[int]
    WORD_BOOST_FIELD_NUMBER: _ClassVar[int]
    END_UTTERANCE_SILENCE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    DISABLE_PARTIAL_TRANSCRIPTS_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_PLAN_FIELD_NUMBER: _ClassVar[int]
    provider: str
    language: str
    confidence_threshold: float
    enable_universal_streaming_api: bool
    format_turns: bool
    end_of_turn_confidence_threshold: float
    min_end_of_turn_silence_when_confident: float
    word_finalization_max_wait_time: float
    max_turn_silence: float
    realtime_url: str
    word_boost: _containers.RepeatedScalarFieldContainer[str]
    end_utterance_silence_threshold: float
    disable_partial_transcripts: bool
    fallback_plan: TranscriberFallbackPlan
    def __init__(self, provider: _Optional[str] = ..., language: _Optional[str] = ..., confidence_threshold: _Optional[float] = ..., enable_universal_streaming_api: _Optional[bool] = ..., format_turns: _Optional[bool] = ..., end_of_turn_confidence_threshold: _Optional[float] = ..., min_end_of_turn_silence_when_confident: _Optional[float] = ..., word_finalization_max_wait_time: _Optional[float] = ..., max_turn_silence: _Optional[float] = ..., realtime_url: _Optional[str] = ..., word_boost: _Optional[_Iterable[str]] = ..., end_utterance_silence_threshold: _Optional[float] = ..., disable_partial_transcripts: _Optional[bool] = ..., fallback_plan: _Optional[_Union[TranscriberFallbackPlan, _Mapping]] = ...) -> None: ...

class TranscriberFallbackPlan(_message.Message):
    __slots__ = ("transcribers",)
    TRANSCRIBERS_FIELD_NUMBER: _ClassVar[int]
    transcribers: _containers.RepeatedCompositeFieldContainer[Transcriber]
    def __init__(self, transcribers: _Optional[_Iterable[_Union[Transcriber, _Mapping]]] = ...) -> None: ...

class Voice(_message.Message):
    __slots__ = ("provider", "voice_id", "caching_enabled", "chunk_plan", "speed", "fallback_plan")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    VOICE_ID_FIELD_NUMBER: _ClassVar[int]
    CACHING_ENABLED_FIELD_NUMBER: _ClassVar[int]
    CHUNK_PLAN_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_PLAN_FIELD_NUMBER: _ClassVar[int]
    provider: str
    voice_id: str
    caching_enabled: bool
    chunk_plan: VoiceChunkPlan
    speed: float
    fallback_plan: VoiceFallbackPlan
    def __init__(self, provider: _Optional[str] = ..., voice_id: _Optional[str] = ..., caching_enabled: _Optional[bool] = ..., chunk_plan: _Optional[_Union[VoiceChunkPlan, _Mapping]] = ..., speed: _Optional[float] = ..., fallback_plan: _Optional[_Union[VoiceFallbackPlan, _Mapping]] = ...) -> None: ...

class VoiceChunkPlan(_message.Message):
    __slots__ = ("enabled", "min_characters", "punctuation_boundaries", "format_plan")
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    MIN_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    PUNCTUATION_BOUNDARIES_FIELD_NUMBER: _ClassVar[int]
    FORMAT_PLAN_FIELD_NUMBER: _ClassVar[int]
    enabled: bool
    min_characters: float
    punctuation_boundaries: _containers.RepeatedScalarFieldContainer[str]
    format_plan: VoiceFormatPlan
    def __init__(self, enabled: _Optional[bool] = ..., min_characters: _Optional[float] = ..., punctuation_boundaries: _Optional[_Iterable[str]] = ..., format_plan: _Optional[_Union[VoiceFormatPlan, _Mapping]] = ...) -> None: ...

class VoiceFormatPlan(_message.Message):
    __slots__ = ("enabled", "number_to_digits_cutoff", "replacements", "formatters_enabled")
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    NUMBER_TO_DIGITS_CUTOFF_FIELD_NUMBER: _ClassVar[int]
    REPLACEMENTS_FIELD_NUMBER: _ClassVar[int]
    FORMATTERS_ENABLED_FIELD_NUMBER: _ClassVar[int]
    enabled: bool
    number_to_digits_cutoff: float
    replacements: _containers.RepeatedCompositeFieldContainer[VoiceReplacement]
    formatters_enabled: _struct_pb2.Value
    def __init__(self, enabled: _Optional[bool] = ..., number_to_digits_cutoff: _Optional[float] = ..., replacements: _Optional[_Iterable[_Union[VoiceReplacement, _Mapping]]] = ..., formatters_enabled: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...

class VoiceReplacement(_message.Message):
    __slots__ = ("type", "key", "value", "replace_all_enabled")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    REPLACE_ALL_ENABLED_FIELD_NUMBER: _ClassVar[int]
    type: str
    key: str
    value: str
    replace_all_enabled: bool
    def __init__(self, type: _Optional[str] = ..., key: _Optional[str] = ..., value: _Optional[str] = ..., replace_all_enabled: _Optional[bool] = ...) -> None: ...

class VoiceFallbackPlan(_message.Message):
    __slots__ = ("voices",)
    VOICES_FIELD_NUMBER: _ClassVar[int]
    voices: _containers.RepeatedCompositeFieldContainer[Voice]
    def __init__(self, voices: _Optional[_Iterable[_Union[Voice, _Mapping]]] = ...) -> None: ...

class VoicemailDetection(_message.Message):
    __slots__ = ("provider", "beep_max_await_seconds", "backoff_plan")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    BEEP_MAX_AWAIT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_PLAN_FIELD_NUMBER: _ClassVar[int]
    provider: str
    beep_max_await_seconds: float
    backoff_plan: VoicemailDetectionBackoffPlan
    def __init__(self, provider: _Optional[str] = ..., beep_max_await_seconds: _Optional[float] = ..., backoff_plan: _Optional[_Union[VoicemailDetectionBackoffPlan, _Mapping]] = ...) -> None: ...

class VoicemailDetectionBackoffPlan(_message.Message):
    __slots__ = ("start_at_seconds", "frequency_seconds", "max_retries")
    START_AT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    FREQUENCY_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MAX_RETRIES_FIELD_NUMBER: _ClassVar[int]
    start_at_seconds: float
    frequency_seconds: float
    max_retries: float
    def __init__(self, start_at_seconds: _Optional[float] = ..., frequency_seconds: _Optional[float] = ..., max_retries: _Optional[float] = ...) -> None: ...

class TransportConfiguration(_message.Message):
    __slots__ = ("provider", "timeout", "record", "recording_channels")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    RECORDING_CHANNELS_FIELD_NUMBER: _ClassVar[int]
    provider: str
    timeout: float
    record: bool
    recording_channels: str
    def __init__(self, provider: _Optional[str] = ..., timeout: _Optional[float] = ..., record: _Optional[bool] = ..., recording_channels: _Optional[str] = ...) -> None: ...

class ObservabilityPlan(_message.Message):
    __slots__ = ("provider", "tags", "metadata")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    provider: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    metadata: _struct_pb2.Struct
    def __init__(self, provider: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class AssistantHook(_message.Message):
    __slots__ = ("on", "do", "filters")
    ON_FIELD_NUMBER: _ClassVar[int]
    DO_FIELD_NUMBER: _ClassVar[int]
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    on: str
    do: _containers.RepeatedCompositeFieldContainer[HookAction]
    filters: _containers.RepeatedCompositeFieldContainer[HookFilter]
    def __init__(self, on: _Optional[str] = ..., do: _Optional[_Iterable[_Union[HookAction, _Mapping]]] = ..., filters: _Optional[_Iterable[_Union[HookFilter, _Mapping]]] = ...) -> None: ...

class HookAction(_message.Message):
    __slots__ = ("type", "destination")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    type: str
    destination: TransferDestination
    def __init__(self, type: _Optional[str] = ..., destination: _Optional[_Union[TransferDestination, _Mapping]] = ...) -> None: ...

class HookFilter(_message.Message):
    __slots__ = ("type", "key", "one_of")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    ONE_OF_FIELD_NUMBER: _ClassVar[int]
    type: str
    key: str
    one_of: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, type: _Optional[str] = ..., key: _Optional[str] = ..., one_of: _Optional[_Iterable[str]] = ...) -> None: ...

class TransferDestination(_message.Message):
    __slots__ = ("type", "number", "message", "number_e164_check_enabled", "extension", "caller_id", "transfer_plan", "description")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_E164_CHECK_ENABLED_FIELD_NUMBER: _ClassVar[int]
    EXTENSION_FIELD_NUMBER: _ClassVar[int]
    CALLER_ID_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_PLAN_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    type: str
    number: str
    message: _struct_pb2.Value
    number_e164_check_enabled: bool
    extension: str
    caller_id: str
    transfer_plan: TransferPlan
    description: str
    def __init__(self, type: _Optional[str] = ..., number: _Optional[str] = ..., message: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., number_e164_check_enabled: _Optional[bool] = ..., extension: _Optional[str] = ..., caller_id: _Optional[str] = ..., transfer_plan: _Optional[_Union[TransferPlan, _Mapping]] = ..., description: _Optional[str] = ...) -> None: ...

class TransferPlan(_message.Message):
    __slots__ = ("mode", "message", "timeout", "sip_verb", "hold_audio_url", "transfer_complete_audio_url", "twiml", "summary_plan", "sip_headers_in_refer_to_enabled", "fallback_plan")
    MODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    SIP_VERB_FIELD_NUMBER: _ClassVar[int]
    HOLD_AUDIO_URL_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_COMPLETE_AUDIO_URL_FIELD_NUMBER: _ClassVar[int]
    TWIML_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_PLAN_FIELD_NUMBER: _ClassVar[int]
    SIP_HEADERS_IN_REFER_TO_ENABLED_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_PLAN_FIELD_NUMBER: _ClassVar[int]
    mode: str
    message: _struct_pb2.Value
    timeout: float
    sip_verb: str
    hold_audio_url: str
    transfer_complete_audio_url: str
    twiml: str
    summary_plan: AnalysisStep
    sip_headers_in_refer_to_enabled: bool
    fallback_plan: TransferFallbackPlan
    def __init__(self, mode: _Optional[str] = ..., message: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., timeout: _Optional[float] = ..., sip_verb: _Optional[str] = ..., hold_audio_url: _Optional[str] = ..., transfer_complete_audio_url: _Optional[str] = ..., twiml: _Optional[str] = ..., summary_plan: _Optional[_Union[AnalysisStep, _Mapping]] = ..., sip_headers_in_refer_to_enabled: _Optional[bool] = ..., fallback_plan: _Optional[_Union[TransferFallbackPlan, _Mapping]] = ...) -> None: ...

class TransferFallbackPlan(_message.Message):
    __slots__ = ("message", "end_call_enabled")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    END_CALL_ENABLED_FIELD_NUMBER: _ClassVar[int]
    message: _struct_pb2.Value
    end_call_enabled: bool
    def __init__(self, message: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., end_call_enabled: _Optional[bool] = ...) -> None: ...

class CompliancePlan(_message.Message):
    __slots__ = ("hipaa_enabled", "pci_enabled")
    HIPAA_ENABLED_FIELD_NUMBER: _ClassVar[int]
    PCI_ENABLED_FIELD_NUMBER: _ClassVar[int]
    hipaa_enabled: HipaaCompliance
    pci_enabled: PciCompliance
    def __init__(self, hipaa_enabled: _Optional[_Union[HipaaCompliance, _Mapping]] = ..., pci_enabled: _Optional[_Union[PciCompliance, _Mapping]] = ...) -> None: ...

class HipaaCompliance(_message.Message):
    __slots__ = ("hipaa_enabled",)
    HIPAA_ENABLED_FIELD_NUMBER: _ClassVar[int]
    hipaa_enabled: bool
    def __init__(self, hipaa_enabled: _Optional[bool] = ...) -> None: ...

class PciCompliance(_message.Message):
    __slots__ = ("pci_enabled",)
    PCI_ENABLED_FIELD_NUMBER: _ClassVar[int]
    pci_enabled: bool
    def __init__(self, pci_enabled: _Optional[bool] = ...) -> None: ...

class BackgroundSpeechDenoisingPlan(_message.Message):
    __slots__ = ("smart_denoising_plan", "fourier_denoising_plan")
    SMART_DENOISING_PLAN_FIELD_NUMBER: _ClassVar[int]
    FOURIER_DENOISING_PLAN_FIELD_NUMBER: _ClassVar[int]
    smart_denoising_plan: SmartDenoisingPlan
    fourier_denoising_plan: FourierDenoisingPlan
    def __init__(self, smart_denoising_plan: _Optional[_Union[SmartDenoisingPlan, _Mapping]] = ..., fourier_denoising_plan: _Optional[_Union[FourierDenoisingPlan, _Mapping]] = ...) -> None: ...

class SmartDenoisingPlan(_message.Message):
    __slots__ = ("enabled",)
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    enabled: bool
    def __init__(self, enabled: _Optional[bool] = ...) -> None: ...

class FourierDenoisingPlan(_message.Message):
    __slots__ = ("enabled", "media_detection_enabled", "static_threshold", "baseline_offset_db", "window_size_ms", "baseline_percentile")
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    MEDIA_DETECTION_ENABLED_FIELD_NUMBER: _ClassVar[int]
    STATIC_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    BASELINE_OFFSET_DB_FIELD_NUMBER: _ClassVar[int]
    WINDOW_SIZE_MS_FIELD_NUMBER: _ClassVar[int]
    BASELINE_PERCENTILE_FIELD_NUMBER: _ClassVar[int]
    enabled: bool
    media_detection_enabled: bool
    static_threshold: float
    baseline_offset_db: float
    window_size_ms: float
    baseline_percentile: float
    def __init__(self, enabled: _Optional[bool] = ..., media_detection_enabled: _Optional[bool] = ..., static_threshold: _Optional[float] = ..., baseline_offset_db: _Optional[float] = ..., window_size_ms: _Optional[float] = ..., baseline_percentile: _Optional[float] = ...) -> None: ...

class AnalysisPlan(_message.Message):
    __slots__ = ("min_messages_threshold", "summary_plan", "structured_data_plan", "structured_data_multi_plan", "success_evaluation_plan")
    MIN_MESSAGES_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_PLAN_FIELD_NUMBER: _ClassVar[int]
    STRUCTURED_DATA_PLAN_FIELD_NUMBER: _ClassVar[int]
    STRUCTURED_DATA_MULTI_PLAN_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_EVALUATION_PLAN_FIELD_NUMBER: _ClassVar[int]
    min_messages_threshold: float
    summary_plan: AnalysisStep
    structured_data_plan: AnalysisStep
    structured_data_multi_plan: _containers.RepeatedCompositeFieldContainer[StructuredDataEntry]
    success_evaluation_plan: AnalysisStep
    def __init__(self, min_messages_threshold: _Optional[float] = ..., summary_plan: _Optional[_Union[AnalysisStep, _Mapping]] = ..., structured_data_plan: _Optional[_Union[AnalysisStep, _Mapping]] = ..., structured_data_multi_plan: _Optional[_Iterable[_Union[StructuredDataEntry, _Mapping]]] = ..., success_evaluation_plan: _Optional[_Union[AnalysisStep, _Mapping]] = ...) -> None: ...

class AnalysisStep(_message.Message):
    __slots__ = ("messages", "enabled", "timeout_seconds", "schema", "rubric")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    RUBRIC_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[_struct_pb2.Struct]
    enabled: bool
    timeout_seconds: float
    schema: JsonSchema
    rubric: str
    def __init__(self, messages: _Optional[_Iterable[_Union[_struct_pb2.Struct, _Mapping]]] = ..., enabled: _Optional[bool] = ..., timeout_seconds: _Optional[float] = ..., schema: _Optional[_Union[JsonSchema, _Mapping]] = ..., rubric: _Optional[str] = ...) -> None: ...

class StructuredDataEntry(_message.Message):
    __slots__ = ("key", "plan")
    KEY_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    key: str
    plan: AnalysisStep
    def __init__(self, key: _Optional[str] = ..., plan: _Optional[_Union[AnalysisStep, _Mapping]] = ...) -> None: ...

class ArtifactPlan(_message.Message):
    __slots__ = ("recording_enabled", "recording_format", "video_recording_enabled", "pcap_enabled", "pcap_s3_path_prefix", "transcript_plan", "recording_path")
    RECORDING_ENABLED_FIELD_NUMBER: _ClassVar[int]
    RECORDING_FORMAT_FIELD_NUMBER: _ClassVar[int]
    VIDEO_RECORDING_ENABLED_FIELD_NUMBER: _ClassVar[int]
    PCAP_ENABLED_FIELD_NUMBER: _ClassVar[int]
    PCAP_S3_PATH_PREFIX_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIPT_PLAN_FIELD_NUMBER: _ClassVar[int]
    RECORDING_PATH_FIELD_NUMBER: _ClassVar[int]
    recording_enabled: bool
    recording_format: str
    video_recording_enabled: bool
    pcap_enabled: bool
    pcap_s3_path_prefix: str
    transcript_plan: TranscriptPlan
    recording_path: str
    def __init__(self, recording_enabled: _Optional[bool] = ..., recording_format: _Optional[str] = ..., video_recording_enabled: _Optional[bool] = ..., pcap_enabled: _Optional[bool] = ..., pcap_s3_path_prefix: _Optional[str] = ..., transcript_plan: _Optional[_Union[TranscriptPlan, _Mapping]] = ..., recording_path: _Optional[str] = ...) -> None: ...

class TranscriptPlan(_message.Message):
    __slots__ = ("enabled", "assistant_name", "user_name")
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    ASSISTANT_NAME_FIELD_NUMBER: _ClassVar[int]
    USER_NAME_FIELD_NUMBER: _ClassVar[int]
    enabled: bool
    assistant_name: str
    user_name: str
    def __init__(self, enabled: _Optional[bool] = ..., assistant_name: _Optional[str] = ..., user_name: _Optional[str] = ...) -> None: ...

class MessagePlan(_message.Message):
    __slots__ = ("idle_messages", "idle_message_max_spoken_count", "idle_message_reset_count_on_user_speech_enabled", "idle_timeout_seconds", "silence_timeout_message")
    IDLE_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    IDLE_MESSAGE_MAX_SPOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    IDLE_MESSAGE_RESET_COUNT_ON_USER_SPEECH_ENABLED_FIELD_NUMBER: _ClassVar[int]
    IDLE_TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SILENCE_TIMEOUT_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    idle_messages: _containers.RepeatedScalarFieldContainer[str]
    idle_message_max_spoken_count: float
    idle_message_reset_count_on_user_speech_enabled: bool
    idle_timeout_seconds: float
    silence_timeout_message: str
    def __init__(self, idle_messages: _Optional[_Iterable[str]] = ..., idle_message_max_spoken_count: _Optional[float] = ..., idle_message_reset_count_on_user_speech_enabled: _Optional[bool] = ..., idle_timeout_seconds: _Optional[float] = ..., silence_timeout_message: _Optional[str] = ...) -> None: ...

class StartSpeakingPlan(_message.Message):
    __slots__ = ("wait_seconds", "smart_endpointing_enabled", "smart_endpointing_plan", "custom_endpointing_rules", "transcription_endpointing_plan")
    WAIT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SMART_ENDPOINTING_ENABLED_FIELD_NUMBER: _ClassVar[int]
    SMART_ENDPOINTING_PLAN_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_ENDPOINTING_RULES_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIPTION_ENDPOINTING_PLAN_FIELD_NUMBER: _ClassVar[int]
    wait_seconds: float
    smart_endpointing_enabled: _struct_pb2.Value
    smart_endpointing_plan: SmartEndpointingPlan
    custom_endpointing_rules: _containers.RepeatedCompositeFieldContainer[CustomEndpointingRule]
    transcription_endpointing_plan: TranscriptionEndpointingPlan
    def __init__(self, wait_seconds: _Optional[float] = ..., smart_endpointing_enabled: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., smart_endpointing_plan: _Optional[_Union[SmartEndpointingPlan, _Mapping]] = ..., custom_endpointing_rules: _Optional[_Iterable[_Union[CustomEndpointingRule, _Mapping]]] = ..., transcription_endpointing_plan: _Optional[_Union[TranscriptionEndpointingPlan, _Mapping]] = ...) -> None: ...

class SmartEndpointingPlan(_message.Message):
    __slots__ = ("provider",)
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    provider: str
    def __init__(self, provider: _Optional[str] = ...) -> None: ...

class CustomEndpointingRule(_message.Message):
    __slots__ = ("type", "regex", "timeout_seconds", "regex_options")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    REGEX_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    REGEX_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    type: str
    regex: str
    timeout_seconds: float
    regex_options: _containers.RepeatedCompositeFieldContainer[EndpointingRegexOption]
    def __init__(self, type: _Optional[str] = ..., regex: _Optional[str] = ..., timeout_seconds: _Optional[float] = ..., regex_options: _Optional[_Iterable[_Union[EndpointingRegexOption, _Mapping]]] = ...) -> None: ...

class EndpointingRegexOption(_message.Message):
    __slots__ = ("type", "enabled")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    type: str
    enabled: bool
    def __init__(self, type: _Optional[str] = ..., enabled: _Optional[bool] = ...) -> None: ...

class TranscriptionEndpointingPlan(_message.Message):
    __slots__ = ("on_punctuation_seconds", "on_no_punctuation_seconds", "on_number_seconds")
    ON_PUNCTUATION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ON_NO_PUNCTUATION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ON_NUMBER_SECONDS_FIELD_NUMBER: _ClassVar[int]
    on_punctuation_seconds: float
    on_no_punctuation_seconds: float
    on_number_seconds: float
    def __init__(self, on_punctuation_seconds: _Optional[float] = ..., on_no_punctuation_seconds: _Optional[float] = ..., on_number_seconds: _Optional[float] = ...) -> None: ...

class StopSpeakingPlan(_message.Message):
    __slots__ = ("num_words", "voice_seconds", "backoff_seconds", "acknowledgement_phrases", "interruption_phrases")
    NUM_WORDS_FIELD_NUMBER: _ClassVar[int]
    VOICE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGEMENT_PHRASES_FIELD_NUMBER: _ClassVar[int]
    INTERRUPTION_PHRASES_FIELD_NUMBER: _ClassVar[int]
    num_words: float
    voice_seconds: float
    backoff_seconds: float
    acknowledgement_phrases: _containers.RepeatedScalarFieldContainer[str]
    interruption_phrases: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, num_words: _Optional[float] = ..., voice_seconds: _Optional[float] = ..., backoff_seconds: _Optional[float] = ..., acknowledgement_phrases: _Optional[_Iterable[str]] = ..., interruption_phrases: _Optional[_Iterable[str]] = ...) -> None: ...

class MonitorPlan(_message.Message):
    __slots__ = ("listen_enabled", "listen_authentication_enabled", "control_enabled", "control_authentication_enabled")
    LISTEN_ENABLED_FIELD_NUMBER: _ClassVar[int]
    LISTEN_AUTHENTICATION_ENABLED_FIELD_NUMBER: _ClassVar[int]
    CONTROL_ENABLED_FIELD_NUMBER: _ClassVar[int]
    CONTROL_AUTHENTICATION_ENABLED_FIELD_NUMBER: _ClassVar[int]
    listen_enabled: bool
    listen_authentication_enabled: bool
    control_enabled: bool
    control_authentication_enabled: bool
    def __init__(self, listen_enabled: _Optional[bool] = ..., listen_authentication_enabled: _Optional[bool] = ..., control_enabled: _Optional[bool] = ..., control_authentication_enabled: _Optional[bool] = ...) -> None: ...

class KeypadInputPlan(_message.Message):
    __slots__ = ("enabled", "timeout_seconds", "delimiters")
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    DELIMITERS_FIELD_NUMBER: _ClassVar[int]
    enabled: bool
    timeout_seconds: float
    delimiters: _struct_pb2.Value
    def __init__(self, enabled: _Optional[bool] = ..., timeout_seconds: _Optional[float] = ..., delimiters: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...
