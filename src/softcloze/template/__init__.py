r"""The template language: text with fields, soft slots, and one mask, several named masks or one answer.

>>> template = Template("<soft*10> Review: <text>\nSentiment: <mask>")
>>> template.fields
('text',)
>>> template.blocks
(SoftBlock(key='#1', count=10, init=None, layers=LayerRange(first=0, last=0), mode='add', via=None,
           train=True, from_=None, from_by='embeddings'),)
"""

from softcloze.template.chat_options import CHAT_OPTIONS, ChatOptions
from softcloze.template.edit import domain_template, template_of_fields, with_demos, with_slots, without_slots
from softcloze.template.fields import read_choices
from softcloze.template.nodes import (
    EMBEDDING,
    Answer,
    Demos,
    Expression,
    Field,
    FromBy,
    Keep,
    LayerRange,
    Literal,
    Mask,
    Mode,
    Node,
    Options,
    Soft,
    Special,
    Statement,
    Turn,
    Via,
)
from softcloze.template.parts import Part
from softcloze.template.soft_blocks import SoftBlock
from softcloze.template.tags import is_field_name
from softcloze.template.template import Template

__all__ = [
    "CHAT_OPTIONS",
    "EMBEDDING",
    "Answer",
    "ChatOptions",
    "Demos",
    "Expression",
    "Field",
    "FromBy",
    "Keep",
    "LayerRange",
    "Literal",
    "Mask",
    "Mode",
    "Node",
    "Options",
    "Part",
    "Soft",
    "SoftBlock",
    "Special",
    "Statement",
    "Template",
    "Turn",
    "Via",
    "domain_template",
    "is_field_name",
    "read_choices",
    "template_of_fields",
    "with_demos",
    "with_slots",
    "without_slots",
]
