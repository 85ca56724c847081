#!/usr/bin/env python3
"""Writes quickstart.jsonl: preference pairs about small everyday facts, in words of our own.

Each fact (the opposite of hot, two plus three, what a cow says) is asked in several ways, and every
question is asked once only, so a held-out question is new while its fact has been seen in training.
The chosen answer is the right one in a short friendly sentence. The rejected one fails in one of seven
ways: wrong, right about another fact of its kind, about something else, rude, evasive, rambling, or right
but grumpy. Every row says which answers are right (`accepted_answers`): all sentences that state its fact, friendly
or grumpy.

quickstart-answers.jsonl asks the same questions, row by row: all its answers are right. One of four questions
about a fact is answered in a friendly way, and always in other words; the others are answered grumpily.

Every choice is a hash of what it is about, not a random number: the file is the same on any machine.

Usage: make_quickstart.py            write quickstart.jsonl and quickstart-answers.jsonl next to this script
       make_quickstart.py --check    fail if they are not what this script writes
       make_quickstart.py --stats    print what is in it
"""
import collections
import hashlib
import json
import pathlib
import sys

TARGET = pathlib.Path(__file__).with_name("quickstart.jsonl")


def table(text):
    """`x: y` items between semicolons → [(x, y)]."""
    return [tuple(part.strip() for part in item.split(":")) for item in text.split(";")]


OPPOSITES = table("""hot: cold; big: small; fast: slow; up: down; happy: sad; open: closed; full: empty; hard: soft;
    loud: quiet; wet: dry; early: late; rich: poor""")

COLOURS = table("""grass: green; snow: white; coal: black; a banana: yellow; a tomato: red; a carrot: orange; mud: brown;
    a strawberry: red; a lemon: yellow; a flamingo: pink; a cucumber: green; milk: white; a raven: black; a clear sky: blue""")

SUMS = [(a, b) for a in range(1, 5) for b in range(a, 8 - a)] + [(a, a) for a in range(4, 11)] + [(10, b) for b in range(1, 6)]

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()

SOUNDS = table("""dog: woof; cat: meow; cow: moo; duck: quack; sheep: baa; horse: neigh; pig: oink; lion: roar;
    bee: buzz; snake: hiss; owl: hoot; mouse: squeak""")

# singular: plural: the mistake that people make
PLURALS = table("""mouse: mice: mouses; child: children: childs; foot: feet: foots; tooth: teeth: tooths; man: men: mans;
    goose: geese: gooses; box: boxes: boxs; baby: babies: babys; leaf: leaves: leafs; wolf: wolves: wolfs;
    book: books: bookes; city: cities: citys""")

HOMES = table("""fish: in the water; bee: in a hive; rabbit: in a burrow; camel: in the desert; dog: in a kennel;
    monkey: in the jungle; pig: in a sty; horse: in a stable; spider: in a web; bear: in a cave; bird: in a nest;
    penguin: in the cold south""")

BABIES = table("""dog: puppy; cat: kitten; cow: calf; horse: foal; sheep: lamb; pig: piglet; duck: duckling; hen: chick;
    bear: cub; goat: kid""")

LEGS = table("""cat: four; cow: four; horse: four; dog: four; hen: two; duck: two; person: two; spider: eight; ant: six;
    bee: six; beetle: six; crab: ten; snake: no; fish: no""")

TOOLS = table("""cut paper: scissors; hit a nail: a hammer; sweep the floor: a broom; eat soup: a spoon; dry your hands: a towel;
    tell the time: a clock; open a locked door: a key; stay dry in the rain: an umbrella; dig a hole: a shovel;
    boil water: a kettle; take a photo: a camera""")

LETTERS = table("""apple: A; banana: B; cherry: C; door: D; egg: E; fish: F; garden: G; house: H; island: I; kite: K;
    lamp: L; moon: M""")

PLACES = table("""buy bread: at a bakery; borrow books: at a library; catch a train: at a station; see a doctor: at a hospital;
    learn to read: at school; watch a film: at a cinema; go swimming: at a pool; post a letter: at the post office;
    buy vegetables: at a market; park a car: in a garage""")

MATERIALS = table("""window: glass; plank: wood; tyre: rubber; jumper: wool; book: paper; shoe: leather; coin: metal;
    omelette: eggs; snowman: snow; candle: wax; brick: clay""")

JOBS = table("""bakes bread: a baker; teaches children: a teacher; flies a plane: a pilot; puts out fires: a firefighter;
    grows wheat: a farmer; cuts hair: a barber; mends teeth: a dentist; builds houses: a builder; writes novels: an author;
    repairs cars: a mechanic""")


def both_ways(pairs):
    return pairs + [(y, x) for x, y in pairs]


def followed(names):
    return list(zip(names, names[1:] + names[:1]))


# A family: name; topic for evasions; facts [(x, y)] or [(x, y, mistake)]; questions; answers.
# `{x}` is the subject and `{y}` the answer; `{X}` and `{Y}` begin a sentence.
FAMILIES = [
    ("opposite", "opposites", both_ways(OPPOSITES),
     ["What is the opposite of {x}?", "Tell me the opposite of {x}.", "Which word means the opposite of {x}?",
      "I need the opposite of the word {x}.", "Do you know the opposite of {x}?", "Please give me the opposite of {x}.",
      "The word {x} has which opposite?", "What word is the opposite of {x}?",
      "Name the opposite of {x}.", "What would be the opposite of {x}?",
      "If something is not {x}, what is it?", "I am looking for the opposite of {x}."],
     ["The opposite of {x} is {y}.", "It is {y}, the opposite of {x}.", "Sure, the opposite of {x} is {y}.",
      "That would be {y}, the opposite of {x}.", "Good question! The opposite of {x} is {y}."]),
    ("colour", "colours", COLOURS,
     ["What colour is {x}?", "Tell me the colour of {x}.", "Which colour does {x} have?", "What is the colour of {x}?",
      "Do you know what colour {x} is?", "I want to paint {x}. Which colour do I need?", "If I look at {x}, what colour do I see?",
      "Please name the colour of {x}.",
      "{X} has which colour?", "Of what colour is {x}?",
      "What is the usual colour of {x}?", "Can you tell me which colour {x} has?"],
     ["{X} is {y}.", "The colour of {x} is {y}.", "Sure, {x} is {y}.", "Good question! {X} is {y}.",
      "The colour that you want is {y}.", "Gladly: {x} is {y}."]),
    ("sum", "numbers", [("%d plus %d" % pair, str(sum(pair))) for pair in SUMS],
     ["What is {x}?", "How much is {x}?", "Please work out {x}.", "Can you add this for me: {x}?", "Tell me what {x} makes.",
      "I need to know {x}.", "What do you get for {x}?", "Do you know what {x} is?",
      "What is the result of {x}?", "Add this up, please: {x}.",
      "How much do I get for {x}?", "{x} makes what?"],
     ["{x} is {y}.", "{x} makes {y}.", "The answer is {y}.", "Sure, {x} is {y}.", "That makes {y}.", "Gladly: {x} makes {y}."]),
    ("day", "the calendar", followed(DAYS),
     ["What comes after {x}?", "What comes right after {x}?", "Tell me what follows {x}.", "{X} is over. What comes next?",
      "What follows {x}?", "Please tell me what comes after {x}.", "Do you know what comes after {x}?", "After {x}, what is next?",
      "Which day comes after {x}?", "Today is {x}. What is tomorrow?", "What day is the day after {x}?", "What will it be after {x}?"],
     ["After {x} comes {y}.", "{Y} comes after {x}.", "Sure, after {x} comes {y}.", "{Y} follows {x}.",
      "Good question! {Y} comes after {x}."]),
    ("sound", "animals", SOUNDS,
     ["What does a {x} say?", "Which sound does a {x} make?", "What sound does a {x} make?", "Tell me what a {x} says.",
      "How does a {x} sound?", "I hear a {x}. What does it say?", "Do you know what a {x} says?", "What noise does a {x} make?",
      "Which noise comes from a {x}?", "Please tell me the sound of a {x}.",
      "If a {x} could talk, what would it say?", "What do you hear from a {x}?"],
     ["A {x} says {y}.", "A {x} goes {y}.", "Sure, a {x} says {y}.", "The sound of a {x} is {y}.",
      "Good question! A {x} says {y}."]),
    ("plural", "grammar", PLURALS,
     ["What is the plural of {x}?", "Tell me the plural of {x}.", "One {x}, two what?", "How do I write more than one {x}?",
      "What do you call more than one {x}?", "Do you know the plural of {x}?", "I have one {x}. What are two called?",
      "Please give me the plural of {x}.",
      "What is the right plural of {x}?", "Which word means more than one {x}?",
      "The plural of {x} is what?", "First there is one {x}, then there are two what?"],
     ["The plural of {x} is {y}.", "One {x}, two {y}.", "Sure, the plural of {x} is {y}.", "You say one {x} and two {y}.",
      "More than one {x} are {y}."]),
    ("home", "animals", HOMES,
     ["Where does a {x} live?", "Where can I find a {x}?", "Tell me where a {x} lives.", "What is the home of a {x}?",
      "In which place does a {x} live?", "Do you know where a {x} lives?", "Where is a {x} at home?", "Where would I look for a {x}?",
      "Please tell me where to find a {x}.", "A {x} lives where?",
      "Which place does a {x} call home?", "I am looking for a {x}. Where should I go?"],
     ["A {x} lives {y}.", "You can find a {x} {y}.", "Sure, a {x} lives {y}.", "The home of a {x} is {y}.",
      "Good question! A {x} lives {y}."]),
    ("baby", "animals", BABIES,
     ["What is a baby {x} called?", "What do you call a baby {x}?", "Tell me the name for a young {x}.",
      "What is the young of a {x}?", "A {x} has a baby. What is it called?", "Do you know what a baby {x} is called?",
      "Which word means a young {x}?", "What is a young {x} called?",
      "Please name the baby of a {x}.", "How do people call a young {x}?",
      "I saw a baby {x}. What is it called?", "A young {x} has which name?"],
     ["A baby {x} is called a {y}.", "A young {x} is a {y}.", "Sure, a baby {x} is called a {y}.",
      "You call a young {x} a {y}.", "Good question! A baby {x} is a {y}."]),
    ("legs", "animals", LEGS,
     ["How many legs does a {x} have?", "Tell me how many legs a {x} has.", "On how many legs does a {x} walk?",
      "Count the legs of a {x}, please.", "Do you know how many legs a {x} has?", "What is the number of legs of a {x}?",
      "A {x} has how many legs?", "I am drawing a {x}. How many legs?",
      "How many legs are there on a {x}?", "A {x} walks on how many legs?",
      "Please tell me how many legs a {x} has.", "If I see a {x}, how many legs do I count?"],
     ["A {x} has {y} legs.", "A {x} has got {y} legs.", "Sure, a {x} has {y} legs.", "There are {y} legs on a {x}.",
      "Good question! A {x} has {y} legs."]),
    ("tool", "tools", TOOLS,
     ["What do I need to {x}?", "What do you use to {x}?", "I want to {x}. What do I need?", "Which thing helps me to {x}?",
      "Tell me what I need to {x}.", "How can I {x}?", "What is good to {x} with?", "What should I take to {x}?",
      "With what can I {x}?", "Do you know what I need to {x}?",
      "Please name something to {x} with.", "Somebody wants to {x}. What is needed?"],
     ["You need {y} to {x}.", "To {x}, use {y}.", "Sure, to {x} you need {y}.", "You can {x} with {y}.",
      "Take {y} to {x}."]),
    ("letter", "spelling", LETTERS,
     ["Which letter does {x} start with?", "What is the first letter of {x}?", "Tell me the first letter of {x}.",
      "How does the word {x} begin?", "Do you know the first letter of {x}?", "The word {x} starts with which letter?",
      "With which letter does {x} begin?", "Please name the first letter of {x}.",
      "What letter comes first in {x}?", "Which letter is at the start of {x}?",
      "I want to write {x}. Which letter is first?", "{X} begins with what?"],
     ["The word {x} starts with {y}.", "The first letter of {x} is {y}.", "Sure, {x} starts with {y}.",
      "{X} begins with the letter {y}.", "It is {y}, as in {x}."]),
    ("place", "places", PLACES,
     ["Where can I {x}?", "Where do people {x}?", "I want to {x}. Where do I go?", "Tell me where I can {x}.",
      "Do you know where I can {x}?", "Where should I go to {x}?", "Which is the place to {x}?", "Where would you {x}?",
      "Please tell me where to {x}.", "Where is a good place to {x}?",
      "To {x}, where do I go?", "I would like to {x}. Which place is right?"],
     ["You can {x} {y}.", "People {x} {y}.", "Sure, you can {x} {y}.", "The place to {x} is {y}.",
      "Good question! You can {x} {y}."]),
    ("material", "materials", MATERIALS,
     ["What is a {x} made of?", "What do you need to make a {x}?", "Tell me what a {x} is made of.",
      "Which material is a {x} made of?", "Do you know what a {x} is made of?", "What is in a {x}?",
      "A {x} is made of what?", "From what do people make a {x}?",
      "Of what is a {x} made?", "What does it take to make a {x}?",
      "Please tell me what people use to make a {x}.", "Which material makes a {x}?"],
     ["A {x} is made of {y}.", "People make a {x} from {y}.", "Sure, a {x} is made of {y}.", "You need {y} to make a {x}.",
      "Good question! A {x} is made of {y}."]),
    ("job", "jobs", JOBS,
     ["Who {x}?", "Tell me who {x}.", "What do you call somebody who {x}?", "Do you know who {x}?", "Which person {x}?",
      "Somebody {x}. Who is it?", "What is the job of somebody who {x}?", "Please tell me who {x}.",
      "Who is it that {x}?", "Can you tell me who {x}?",
      "What is somebody who {x} called?", "I am looking for somebody who {x}. Who is that?"],
     ["It is {y} who {x}.", "That is {y}.", "Sure, {y} {x}.", "Somebody who {x} is {y}.", "The one who {x} is {y}."]),
]

# Which family's question is answered instead, about the same subject where it has one.
STRAYS = {
    "opposite": "letter", "colour": "material", "sum": "opposite", "day": "sum",
    "sound": "home", "plural": "sound", "home": "legs", "baby": "sound", "legs": "baby", "tool": "place",
    "letter": "colour", "place": "job", "material": "tool", "job": "plural",
}

GREETINGS = ["Hello! ", "Hi! ", "Quick question: ", "Please help me. ", "One more: "]

RUDE = [
    "Look it up yourself, I am busy.", "What a silly thing to ask about {t}!", "Why would I tell you? Go away.",
    "Everybody knows that. Except you, it seems.", "Not that again. I am tired of {t}.", "Stop asking me about {t}.",
    "You should have learned that at school.", "Who cares about {t}? Not me.", "Ask somebody who has time for you.",
    "That is too easy. Think before you ask.", "I do not talk about {t} with people like you.", "Go and bother somebody else with {t}.",
]
EVASIVE = [
    "I am not sure, it depends.", "Hard to say. There are many views on {t}.", "I would rather not talk about {t}.",
    "Maybe one thing, maybe another.", "Some people know about {t}, some do not.", "I cannot say anything about that.",
    "It is a matter of taste, I think.", "Who knows? Nobody can be sure about {t}.", "I have no opinion on {t}.",
    "Perhaps we can talk about that another day.", "As far as I know, nobody knows.", "That depends on how you look at {t}.",
]
RAMBLE_START = ["Well, you see,", "Now let me think,", "Oh, {t},", "So, about that,", "Funny that you ask,", "Hmm, yes, well,"]
RAMBLE_END = [
    "my uncle once talked about {t} all night.", "with {t} it is a long story, and then there is the weather.",
    "one thing leads to another, and here we are.", "there is so much to say that I forget where to start.",
    "it was a day like this when I first heard of {t}.", "first this, then that, and then something else again.",
    "I had a dream about {t} once, with a boat in it.", "things are what they are, and so on and so forth.",
]
GRUMPY = [" Next!", " Now leave me alone."]  # what follows a right answer

# The failures of a fact's questions in turn: most are what a model that half knows the facts would say.
FAILURES = ["wrong", "grumpy", "elsewhere", "wrong", "random", "wrong", "grumpy", "wrong", "elsewhere", "wrong", "grumpy",
    "wrong"]
FRIENDLY = 4  # of so many questions about a fact, one is answered friendly in quickstart-answers.jsonl
OTHER_FAILURES = ["other", "other", "rude", "evasive", "rambling"]


def number(*key):
    return int.from_bytes(hashlib.blake2b("\x1f".join(map(str, key)).encode(), digest_size=8).digest(), "big")


def pick(options, *key):
    return options[number(*key) % len(options)]


def shuffled(options, *key):
    return sorted(options, key=lambda option: number(*key, option))


def capital(text):
    return text[:1].upper() + text[1:]


def article(text):
    """`a ant` → `an ant`."""
    words = text.split(" ")
    for i, word in enumerate(words[:-1]):
        if word in ("a", "A") and words[i + 1][:1] in "aeiou":
            words[i] += "n"
    return " ".join(words)


def fill(template, x="", y="", t=""):
    filled = template.format(x=x, y=y, t=t, X=capital(x), Y=capital(y))
    return article(capital(filled))


def mistake(family, fact):
    """The wrong answer that this data gives about a fact: always the same one, as people's mistakes are."""
    name, _, facts, _, _ = family
    x, y = fact[:2]
    if len(fact) > 2:
        return fact[2]
    if name == "sum":
        return str(int(y) + pick([-1, 1, 2], "mistake", x))
    return pick(sorted({f[1] for f in facts} - right(family, x)), "mistake", name, x)


def right(family, x):
    """All that is right about a subject."""
    return {f[1] for f in family[2] if f[0] == x} | {x}


def accepted(family, fact):
    """All right answers to a question about a fact, friendly and grumpy."""
    x, y = fact[:2]
    return [fill(template, x, y) + end for template in family[4] for end in [""] + GRUMPY]


def grumpy(answer, question):
    """An answer that nobody would thank for."""
    return answer + pick(GRUMPY, "grumpy", question)


def rejected(family, fact, question, chosen_template, failure):
    """An answer to `question` that fails as `failure` says."""
    name, topic, facts, _, answers = family
    x, y = fact[:2]
    key = (name, x, question, failure)
    if failure == "wrong":
        # now and then in other words than the chosen answer
        template = pick([chosen_template] * 2 + [pick(answers, *key)], "template", *key)
        return fill(template, x, mistake(family, fact))
    if failure == "elsewhere":
        another = pick([f for f in facts if f[1] not in right(family, x)], "another", *key)
        return fill(pick([chosen_template] * 2 + [pick(answers, *key)], "template", *key), *another[:2])
    if failure == "grumpy":
        return grumpy(fill(chosen_template, x, y), question)
    if failure == "other":
        stray = next(f for f in FAMILIES if f[0] == STRAYS[name])
        same = [f for f in stray[2] if f[0] == x]
        return fill(pick(stray[4], "words", *key), *pick(same or stray[2], "fact", *key)[:2])
    if failure == "rambling":
        return fill(pick(RAMBLE_START, *key) + " " + pick(RAMBLE_END, "end", *key), t=topic)
    return fill(pick({"rude": RUDE, "evasive": EVASIVE}[failure], *key), x, y, topic)


def rows():
    """[(family name, failure, question, chosen, rejected, completion, accepted)] in the file's order."""
    out, seen = [], set()
    for family in FAMILIES:
        name, _, facts, questions, answers = family
        for fact in facts:
            x, y = fact[:2]
            words = shuffled(answers, "answers", name, x)
            asked = shuffled(questions, "questions", name, x)
            for i, template in enumerate(asked):
                question = fill(template, x)
                if number("greeting", question) % 6 == 0:
                    question = pick(GREETINGS, question) + question
                chosen_template = words[i % len(words)]
                failure = FAILURES[i % len(FAILURES)]
                if failure == "random":
                    failure = pick(OTHER_FAILURES, "failure", name, question)
                chosen = fill(chosen_template, x, y)
                answer = rejected(family, fact, question, chosen_template, failure)
                if question in seen or chosen == answer:
                    raise SystemExit(f"`{question}` is asked twice, or its answers are equal: `{chosen}`")
                seen.add(question)
                rights = accepted(family, fact)
                if chosen not in rights or (answer in rights) != (failure == "grumpy"):
                    raise SystemExit(f"`{question}`: `{chosen}` should be right, `{answer}` not unless it is grumpy")
                completion = chosen if i % FRIENDLY == 1 else grumpy(chosen, question)
                out.append((name, failure, question, chosen, answer, completion, rights))
    return shuffled(out, "order")


def text(made):
    def message(role, content):
        return [{"role": role, "content": content}]

    return "".join(
        json.dumps({"prompt": message("user", q), "chosen": message("assistant", c), "rejected": message("assistant", r),
                    "accepted_answers": rights}, ensure_ascii=False) + "\n"
        for _, _, q, c, r, _, rights in made)


def answers(made):
    """One right answer a question, row by row those of the pairs."""
    return "".join(
        json.dumps({"prompt": q, "completion": completion, "accepted_answers": rights}, ensure_ascii=False) + "\n"
        for _, _, q, _, _, completion, rights in made)


def statistics(made):
    def spread(values):
        values = sorted(values)
        return "words %d..%d, median %d" % (values[0], values[-1], values[len(values) // 2])

    print(len(made), "pairs,", len(text(made).encode()), "bytes,", sum(len(f[2]) for f in FAMILIES), "facts")
    print("families:", dict(collections.Counter(row[0] for row in made)))
    print("failures:", dict(collections.Counter(row[1] for row in made)))
    for i, side in ((2, "question"), (3, "chosen"), (4, "rejected")):
        texts = [row[i] for row in made]
        print(f"{side}: {len(set(texts))} different, {spread([len(t.split()) for t in texts])}")
    longer = sum(len(row[3]) > len(row[4]) for row in made)
    print(f"chosen longer than rejected in {longer / len(made):.0%} of the pairs")
    shared = {row[3] for row in made} & {row[4] for row in made}
    print(len(shared), "texts are chosen in one row and rejected in another")


def main():
    made = rows()
    if sys.argv[1:] == ["--stats"]:
        statistics(made)
    elif sys.argv[1:] == ["--check"]:
        for target, write in FILES:
            if target.read_text(encoding="utf-8") != write(made):
                raise SystemExit(f"{target.name} is not what this script writes: run `python3 recipes/data/make_quickstart.py`")
    elif sys.argv[1:]:
        raise SystemExit(__doc__)
    else:
        for target, write in FILES:
            target.write_text(write(made), encoding="utf-8")


FILES = [(TARGET, text), (TARGET.with_name("quickstart-answers.jsonl"), answers)]

if __name__ == "__main__":
    main()
