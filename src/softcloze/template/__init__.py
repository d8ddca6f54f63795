r"""The template language: text with fields, soft slots and a mask, or several with names.

>>> template = Template("<soft*10> Review: <text>\nSentiment: <mask>")
>>> template.fields
('text',)
>>> template.blocks
(SoftBlock(key='#1', count=10, init=None),)
"""

from softcloze.template.blocks import SoftBlock
from softcloze.template.errors import (
    FieldError,
    TemplateLogicError,
    TemplateSyntaxError,
    TemplateTypeError,
    did_you_mean,
    nearest,
)
from softcloze.template.fields import read_fields
from softcloze.template.finding import Finding
from softcloze.template.nodes import (
    Demos,
    Expression,
    Field,
    Keep,
    Literal,
    Mask,
    Node,
    Options,
    Soft,
    Special,
    Statement,
)
from softcloze.template.parts import Part, expand
from softcloze.template.template import Template

__all__ = [
    "Demos",
    "Expression",
    "Field",
    "FieldError",
    "Finding",
    "Keep",
    "Literal",
    "Mask",
    "Node",
    "Options",
    "Part",
    "Soft",
    "SoftBlock",
    "Special",
    "Statement",
    "Template",
    "TemplateLogicError",
    "TemplateSyntaxError",
    "TemplateTypeError",
    "did_you_mean",
    "expand",
    "nearest",
    "read_fields",
]
