"""Search the position and length of soft slots and the number of epochs with scikit-learn's grid search."""

from rich import print
from sklearn.model_selection import GridSearchCV

from softcloze import PromptClassifier, load_backbone
from softcloze.experiments import few_shot, load_data
from softcloze.search import summarise_search
from softcloze.template import with_slots

reviews = load_data("movie-reviews")
rows = few_shot(reviews.train.labels, shots=100, random_state=0)
texts = [reviews.train.texts[row] for row in rows]
labels = [reviews.train.labels[row] for row in rows]

backbone = load_backbone("starter:bert-tiny")  # loaded once, shared by all candidates
wording = "<text> It was <mask>."
search = GridSearchCV(
    PromptClassifier(backbone, wording, {"positive": "good", "negative": "bad"}, random_state=0),
    {
        "template": [
            wording,
            *(with_slots(wording, front=length) for length in (2, 10)),
            *(with_slots(wording, after=length) for length in (2, 10)),
        ],
        "epochs": [2, 6],
    },
    cv=3,
)
search.fit(texts, labels)

found = summarise_search(search, held_out=search.score(reviews.test.texts[:500], reviews.test.labels[:500]))
print(found.table())
found.report("search.html")  # the same as a page, with a plot for each parameter
