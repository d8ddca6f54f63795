"""Tags by which scikit-learn knows what an estimator takes and needs."""

from sklearn.utils import InputTags, Tags


def text_tags(tags: Tags, *, requires_fit: bool, varies: bool) -> Tags:
    """The tags of an estimator of texts, or of mappings from field names to values.

    Args:
        tags: those of its bases, which are changed.
        requires_fit: something has to be learnt before it predicts.
        varies: what it learns differs from fit to fit, as without a seed.
    """
    tags.input_tags = InputTags(one_d_array=True, two_d_array=False, string=True, dict=True)
    tags.requires_fit = requires_fit
    tags.non_deterministic = requires_fit and varies
    return tags
