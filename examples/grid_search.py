"""Which template and how many epochs? scikit-learn's own grid search; the model is loaded once and shared."""

from sklearn.model_selection import GridSearchCV

from softcloze import PromptClassifier
from softcloze.experiments import few_shot
from softcloze.starters import load_data

reviews = load_data("movie-reviews")
rows = few_shot(reviews.train.labels, shots=100, random_state=0)
texts = [reviews.train.texts[row] for row in rows]
labels = [reviews.train.labels[row] for row in rows]

search = GridSearchCV(
    PromptClassifier("starter:bert-tiny", "<text> <mask>", {"positive": "good", "negative": "bad"}, random_state=0),
    {
        "template": [
            "<soft*10> <text> It was <mask>.",
            "<text> <soft*10> It was <mask>.",
            "<soft*5> <text> <soft*5> <mask>.",
        ],
        "epochs": [4, 12],
    },
    cv=3,
)
search.fit(texts, labels)

for parameters, mean in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True):
    print(f"{mean:.3f}  {parameters['epochs']:>2} epochs  {parameters['template']}")
print("best:", search.best_params_)
print(f"held-out accuracy: {search.score(reviews.test.texts[:500], reviews.test.labels[:500]):.3f}")
