"""Chat templates with the features of published ones, and tokenizers that have their control tokens."""

from functools import cache

import torch
from tokenizers import AddedToken

from softcloze.backbone import Backbone
from support import models

# as published with SmolLM2
CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou "
    "are a helpful AI assistant<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + "
    "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ "
    "'<|im_start|>assistant\n' }}{% endif %}"
)
# as published with Gemma 3: the system's turn is folded, contents are trimmed, roles alternate, bos is written
GEMMA = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '

' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '

' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '
' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>
' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model
'}}
{%- endif -%}
"""
# like Gemma 2's: the system's turn is refused
REFUSED = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}
{%- endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('Conversation roles must alternate') }}{% endif %}
{{- '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\n' }}
{{- message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"""
# like Mistral's: the system's turn is written only before a last turn of the user, which there is none of here
DROPPED = """{%- if messages[0]['role'] == 'system' %}{%- set system = messages[0]['content'] %}
{%- set rest = messages[1:] %}{%- else %}{%- set rest = messages %}{%- endif %}
{{- bos_token }}
{%- for message in rest %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{- raise_exception('roles must alternate') }}
    {%- endif %}
    {%- if message['role'] == 'user' %}
        {%- if tools is not none and loop.last %}{{- '[AVAILABLE_TOOLS] ' + tools | tojson + '[/AVAILABLE_TOOLS]' }}
        {%- endif %}
        {{- '[INST] ' + (system + '\n\n' if loop.last and system is defined else '') + message['content'] + '[/INST]' }}
    {%- else %}{{- ' ' + message['content'] | trim + eos_token }}{%- endif %}
{%- endfor %}"""
# like Llama 3.2's: a date from an option or from the clock, tools, contents trimmed
DATED = """{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Cutting Knowledge Date: December 2023\\nToday Date: " + date_string + "\\n\\n" }}
{%- if tools is not none %}{%- for tool in tools %}{{- tool | tojson(indent=4) + "\\n\\n" }}{%- endfor %}{%- endif %}
{{- system_message + "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
    {{- message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}"""
# like SmolLM3's and Qwen3's: the date of today, and an empty block of thoughts where thinking is off
THINKING = """
{%- set today = strftime_now("%d %B %Y") -%}
{%- set thinks = enable_thinking if enable_thinking is defined else true -%}
{%- macro begin(role) -%}{{ '<|im_start|>' + role + '\\n' }}{%- endmacro -%}
{{- begin('system') }}## Metadata

Today Date: {{ today }}
Reasoning Mode: {{ '/think' if thinks else '/no_think' }}

{% if messages[0].role == 'system' -%}
{{- messages[0].content.rstrip() }}{% set rest = messages[1:] %}
{%- else -%}You are a helpful assistant.{% set rest = messages %}
{%- endif %}<|im_end|>
{% for message in rest %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role == 'assistant' %}
        {%- if '</think>' in content %}{%- set content = content.split('</think>')[-1].lstrip('\\n') %}{%- endif %}
        {{- begin('assistant') }}
        {%- if loop.last and not thinks %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
        {{- content.lstrip('\\n') + '<|im_end|>\\n' }}
    {%- else %}
        {{- begin(message.role) + content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}"""
# like Qwen3's: thoughts only after the last message of the user
QWEN = r"""{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\n\n' }}
    {%- endif %}
    {{- "# Tools\n\n<tools>" }}
    {%- for tool in tools %}
        {{- "\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\n</tools><|im_end|>\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- set of_tool = message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>') %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not of_tool %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].split('<think>')[-1].strip('\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                {{- '<|im_start|>' + message.role + '\n<think>\n' + reasoning_content.strip('\n') }}
                {{- '\n</think>\n\n' + content.lstrip('\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}"""
# like Zephyr's and Phi's: names of tokens put together from roles, text around control tokens
JOINED = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + eos_token + '\n' }}"
    "{% endfor %}"
)
TEMPLATES = {
    "chatml": CHATML,
    "gemma": GEMMA,
    "refused": REFUSED,
    "dropped": DROPPED,
    "dated": DATED,
    "thinking": THINKING,
    "qwen": QWEN,
    "joined": JOINED,
}
OPTIONS = {"dated": {"date_string": "26 Jul 2026"}, "thinking": {"date": "2026-07-26"}}
TRIMS = {"gemma", "refused", "dropped", "dated", "thinking", "qwen"}
FOLDS = {"refused", "dropped"}  # where the content of the system's turn goes into that of the user's
TOKENIZERS = ("gpt2", "gemma", "llama")
CONTROL = [
    *("<|im_start|>", "<|im_end|>", "<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]", "<|eot_id|>"),
    *("<|start_header_id|>", "<|end_header_id|>", "<|user|>", "<|assistant|>"),
]
ORDINARY = ["<think>", "</think>", "<|system|>"]  # added, and not special


def tokenizer(kind, template):
    """Make a tokenizer with control tokens and this chat template."""
    made = models.tokenizer(kind)
    made.add_tokens([AddedToken(name, special=True, normalized=False) for name in CONTROL], special_tokens=True)
    made.add_tokens([AddedToken(name, normalized=False) for name in ORDINARY])
    made.chat_template = template
    return made


@cache
def borrowed(kind, name):
    """Return a shared tokenizer, for tests that do not change it."""
    return tokenizer(kind, TEMPLATES[name])


def expected(tokenizer, name, messages, **options):
    """The ids of transformers for a conversation whose last message is begun."""
    options = OPTIONS.get(name, {}) | options
    if name == "thinking":  # the only one that calls the clock, for a text that no option replaces
        day = "26 July 2026"
        options.pop("date", None)
        template = tokenizer.chat_template.replace('strftime_now("%d %B %Y")', repr(day))
    else:
        template = None
    return tokenizer.apply_chat_template(
        messages,
        chat_template=template,
        continue_final_message=True,
        tokenize=True,
        return_dict=False,
        **{"enable_thinking": False} | options,
    )


@cache
def chat_backbone(name="chatml"):
    """Return a shared Qwen 3 with a chat template and 512 positions."""
    made = tokenizer("gpt2", TEMPLATES[name])
    made.model_max_length = 512
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = models.model("qwen3")
        model.resize_token_embeddings(len(made), mean_resizing=False)
        model.config.max_position_embeddings = 512  # rotary positions have no limit of their own
    return Backbone(model, made, "chatty")
