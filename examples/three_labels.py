"""More than two labels: tweets that are negative, neutral or positive. 三个标签：推文是负面、中性还是正面。

Each label has a plain word that fits where the mask is. A check shows which label the words alone prefer; then a
calibration, a soft prompt, TF-IDF and sentence embeddings are measured on the same examples.
"""

import argparse

from softcloze import PromptClassifier, Protocol, compare
from softcloze.experiments import SentenceEmbeddingClassifier, load_data, tfidf

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--rows", type=int, default=40, help="held-out tweets")
parser.add_argument("--shots", type=int, default=4, help="training tweets of each label")
parser.add_argument("--draws", type=int, default=1, help="draws of the training tweets")
parser.add_argument("--folder", help="where finished runs are kept")
arguments = parser.parse_args()

tweets = load_data("tweets-3")
model, template = "starter:smollm2-135m", "Tweet: <text>\nSentiment: <mask>"
words = {"negative": "negative", "neutral": "neutral", "positive": "positive"}

hard = PromptClassifier(model, template, words)
print(hard.check())
print(hard.explain(tweets.test.texts[0], top=5))

methods = {
    "hard": hard,
    "hard, batch": PromptClassifier(model, template, words, calibration="batch"),
    "soft": PromptClassifier(model, "Tweet: <text> <soft*10>\nSentiment: <mask>", words),
    "TF-IDF": tfidf(),
    "embeddings": SentenceEmbeddingClassifier(),
}
protocol = Protocol(shots=arguments.shots, seeds=arguments.draws, test_rows=arguments.rows)
print(compare(methods, tweets, protocol, folder=arguments.folder, task="tweets-3"))
