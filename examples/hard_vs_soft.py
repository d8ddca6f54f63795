"""Does training help? One hard prompt as it is, and the same with soft slots trained on 16 reviews per class."""

from softcloze import PromptClassifier, load_backbone
from softcloze.experiments import few_shot
from softcloze.starters import load_data

reviews = load_data("movie-reviews")
rows = few_shot(reviews.train.labels, shots=16, random_state=0)
texts = [reviews.train.texts[row] for row in rows]
labels = [reviews.train.labels[row] for row in rows]
held_out = reviews.test.texts[:100], reviews.test.labels[:100]

backbone = load_backbone("starter:smollm2-135m")
words = {"positive": "positive", "negative": "negative"}

hard = PromptClassifier(backbone, "Review: <text>\nSentiment: <mask>", words)
soft = PromptClassifier(backbone, "Review: <text> <soft*10>\nSentiment: <mask>", words, random_state=0)
soft.fit(texts, labels)

for record in soft.history_:
    print(f"epoch {record['epoch']}: loss {record['loss']:.3f} nats, {record['seconds']:.1f} s")
trained = sum(vectors.numel() for vectors in soft.prompt_.vectors.values())
print(f"trained {trained:,} of {backbone.parameters + trained:,} parameters")
print(f"hard prompt: {hard.score(*held_out):.3f}")
print(f"soft prompt: {soft.score(*held_out):.3f}")
