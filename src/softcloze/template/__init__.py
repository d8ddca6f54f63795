r"""The template language: text with fields, soft slots and one mask.

>>> template = Template("<soft*10> Review: <text>\nSentiment: <mask>")
>>> template.fields
('text',)
>>> template.blocks
(SoftBlock(key='#1', count=10, init=None),)
"""

from softcloze.template.blocks import SoftBlock
from softcloze.template.errors import FieldError, TemplateSyntaxError, TemplateTypeError, did_you_mean, nearest
from softcloze.template.fields import read_fields
from softcloze.template.nodes import Field, Literal, Mask, Node, Soft
from softcloze.template.template import Template

__all__ = [
    "Field",
    "FieldError",
    "Literal",
    "Mask",
    "Node",
    "Soft",
    "SoftBlock",
    "Template",
    "TemplateSyntaxError",
    "TemplateTypeError",
    "did_you_mean",
    "nearest",
    "read_fields",
]
