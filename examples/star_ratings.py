"""One to five stars from words for the two ends of the scale. 只用两端的词给出一到五星。

Neighbouring labels are neighbours in probability, so a wrong prediction is seldom far off.
"""

from sklearn.metrics import accuracy_score, cohen_kappa_score, mean_absolute_error

from softcloze import OrdinalVerbalizer, PromptClassifier
from softcloze.starters import load_data

reviews = load_data("movie-stars")
texts, stars = reviews.test.texts[:50], [int(label) for label in reviews.test.labels[:50]]

clf = PromptClassifier(
    model="starter:smollm2-135m",
    template="Review: <text> In short, the movie is <mask>",
    verbalizer=OrdinalVerbalizer([1, 2, 3, 4, 5], low="terrible", high="great"),
)
predicted = clf.predict(texts)
print("accuracy:", round(accuracy_score(stars, predicted), 3))
print("mean absolute error in stars:", round(mean_absolute_error(stars, predicted), 3))
print("quadratic weighted kappa:", round(cohen_kappa_score(stars, predicted, weights="quadratic"), 3))

chinese = PromptClassifier(
    model="starter:gemma3-270m",
    template="<text> 总之，很<mask>",
    verbalizer=OrdinalVerbalizer(["很差", "较差", "一般", "较好", "很好"], low="失望", high="满意"),
)
for text in ("用了两天就坏了，客服也不理人。", "质量很好，物流也快，下次还会再买。"):
    (probabilities,) = chinese.predict_proba([text])
    rating = dict(zip(chinese.verbalizer.labels, probabilities, strict=True))  # sorted as Unicode has them
    print({label: round(float(rating[label]), 3) for label in chinese.verbalizer.order}, text)
