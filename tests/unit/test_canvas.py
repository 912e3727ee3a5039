"""What composed signatures mean: trees of Celery's canvas in, steps out. Nothing is sent."""

import pickle

import celery
import cloudpickle
import pytest

import nbqueue as nq
from nbqueue.client.canvas.compiling import Given, draft
from nbqueue.client.canvas.signature import Chain
from nbqueue.core.errors import UsageError
from nbqueue.core.plan import All, Failed, Listed, One, Other, Spread, from_plain, to_plain
from nbqueue.notebook.views import things


@nq.task
def add(x, y):
    return x + y


@nq.task
def same(x):
    return x


@nq.task
def total(numbers):
    return sum(numbers)


@nq.task
def alert(request, exc, traceback):
    pass


@nq.task
def note(item_id):
    pass


def shown(workflow):
    """The lines of a workflow's graph, without the spaces that line them up."""
    return [" ".join(line.split()) for line in repr(workflow.graph()).splitlines()]


def calls(step):
    return [args for args, _ in step.calls]


# -- composing is Celery's -------------------------------------------------------------------------


def test_signatures_are_celerys():
    chained = add.s(1, 2) | add.s(3)
    assert isinstance(add.s(1), celery.canvas.Signature)
    assert isinstance(chained, celery.canvas.Signature)
    assert isinstance(nq.group(add.s(1, 2)), celery.group)
    assert isinstance(nq.chord([add.s(1, 2)], total.s()), celery.chord)
    assert isinstance(nq.map(add, [1]), celery.canvas.xmap)


def test_a_group_before_a_task_is_a_chord():
    made = nq.group(same.s(1), same.s(2)) | total.s()
    assert isinstance(made, celery.chord)
    assert shown(made) == shown(nq.chord([same.s(1), same.s(2)], total.s()))


@pytest.mark.parametrize(
    "made",
    [
        add.s(1, 2),
        add.s(1, 2) | add.s(3),
        nq.group(add.s(1, 2), same.s(3)),
        nq.chord([add.s(1, 2)], total.s()),
        nq.map(same, [1, 2]),
        nq.starmap(add, [(1, 2)]),
        nq.chunks(add, [(1, 2), (3, 4)], 2),
        same.s([1]) | nq.map(same) | nq.group(total.s(), same.s()) | total.s(),
    ],
    ids=repr,
)
def test_a_copy_means_the_same(made):
    copies = [
        made.clone(),
        nq.signature(made),
        nq.signature(dict(made)),
        pickle.loads(cloudpickle.dumps(made)),
    ]
    for copy in copies:
        assert type(copy) is type(made)
        assert shown(copy) == shown(made)


def test_a_link_survives_copying_with_its_task():
    made = same.s(1)
    made.link(add.s(2) | same.s())
    copied = (made | same.s()).clone().clone()
    assert shown(copied)[2:] == ["3 add(‹1›, 2)", "4 same(‹3›)"]


def test_partial_arguments_come_in_front():
    assert add.s(2).clone((1,)).args == (1, 2)
    assert add.si(2, 3).clone((1,)).args == (2, 3)
    assert calls(draft((add.s(2) | same.s()).clone((1,))).steps[0]) == [(1, 2)]
    assert calls(draft(nq.group(add.s(2), add.s(3)).clone((1,))).steps[0]) == [(1, 2), (1, 3)]


def test_options_are_the_tasks():
    made = draft(same.s(1).set(queue="far", priority=3) | same.s())
    assert [step.task.options.queue for step in made.steps] == ["far", None]
    assert made.steps[0].task.options.priority == 3
    grouped = draft(nq.group(same.s(1), same.s(2), queue="far"))
    assert [step.task.options.queue for step in grouped.steps] == ["far"]


def test_a_call_of_a_signature_runs_the_function_here():
    assert add.s(1)(2) == 3


def test_a_celery_signature_takes_ours():
    foreign = celery.signature("proj.add", (1, 2))
    for made in (foreign | same.s(), same.s(1) | foreign):
        assert type(made).__module__.startswith("nbqueue")
        with pytest.raises(
            nq.UsageError, match=r"'proj\.add' is the name of a task in a Celery project"
        ):
            draft(made)


# -- what a tree means -----------------------------------------------------------------------------


def test_a_chain_hands_each_value_on():
    made = draft(add.s(1, 2) | add.s(3) | add.s(4))
    assert [step.takes for step in made.steps] == [None, One(0), One(1)]
    assert [calls(step) for step in made.steps] == [[(1, 2)], [(3,)], [(4,)]]
    assert made.result == One(2)


def test_an_immutable_step_waits_and_takes_nothing():
    made = draft(same.s(1) | same.si(2) | add.s(3))
    assert (made.steps[1].takes, made.steps[1].after) == (None, (0,))
    assert made.steps[2].takes == One(1)


def test_a_chord_of_a_thousand_is_two_steps():
    made = draft(nq.chord((same.s(i) for i in range(1000)), total.s()))
    assert [len(step.calls) for step in made.steps] == [1000, 1]
    assert made.steps[1].takes == All(0)
    assert calls(made.steps[0])[:2] == [(0,), (1,)]


@pytest.mark.parametrize(
    ("made", "lines"),
    [
        (
            same.s(5) | nq.group(add.s(1) | add.s(2), add.s(3)),
            ["1 same(5)", "2 add(‹1›, 1)", "3 add(‹2›, 2)", "4 add(‹1›, 3)"],
        ),
        (
            nq.group(same.s(1), nq.group(same.s(2), nq.group(same.s(3)))),
            ["1 same(…) × 3"],
        ),
        (
            nq.group(same.s(1), same.s(2)) | nq.group(total.s(), total.s()) | total.s(),
            ["1 same(…) × 2", "2 total(‹1›) × 2", "3 total(‹2›)"],
        ),
        (
            nq.chord([same.s(1), add.s(1, 2)], total.s()) | add.s(3),
            ["1 same(1)", "2 add(1, 2)", "3 total([‹1›, ‹2›])", "4 add(‹3›, 3)"],
        ),
        (
            nq.chord([nq.chord([same.s(1), same.s(2)], total.s()), same.s(3)], total.s()),
            ["1 same(…) × 2", "2 total(‹1›)", "3 same(3)", "4 total([‹2›, ‹3›])"],
        ),
        (
            nq.chord([same.s(1), nq.group(same.s(2), same.s(3)), add.s(1, 2)], total.s()),
            ["1 same(…) × 3", "2 add(1, 2)", "3 total([*‹1›, ‹2›])"],
        ),
        (
            nq.chord([same.s(1) | nq.group(same.s(), same.s())], same.s()),
            ["1 same(1)", "2 same(‹1›) × 2", "3 same([‹2›])"],
        ),
        (
            nq.chain(
                nq.group(same.si(1), same.si(2)), same.si(3), nq.group(same.si(4), same.si(5))
            ),
            ["1 same(…) × 2", "2 same(3) after 1", "3 same(…) × 2 after 2"],
        ),
        (
            same.s(1) | nq.group(same.s()),  # Celery takes a group of one for that one
            ["1 same(1)", "2 same(‹1›)"],
        ),
        (
            same.s([1]) | nq.map(same) | total.s(),
            ["1 same([1])", "2 map(same, ‹1›)", "3 total(‹2›)"],
        ),
        (
            nq.group(same.s(1), same.s(2)) | nq.map(same),
            ["1 same(…) × 2", "2 map(same, ‹1›)"],
        ),
        (
            same.s(1) | nq.map(same, range(3)) | total.s(),
            ["1 same(1)", "2 map(same, range(0, 3)) after 1", "3 total(‹2›)"],
        ),
        (
            nq.starmap(add, [(1, 2)]) | total.s(),
            ["1 starmap(add, [(1, 2)])", "2 total(‹1›)"],
        ),
    ],
)
def test_steps_of(made, lines):
    assert shown(made) == lines


def test_results_of_groups_are_lists():
    assert draft(nq.group(same.s(1))).result == Listed((One(0),))
    assert draft(nq.group(same.s(1), same.s(2))).result == All(0)
    assert draft(nq.group(same.s(1), same.s(2), add.s(1, 2))).result == Listed((Spread(0), One(1)))
    nested = nq.group(same.s(1), same.s(2) | nq.group(same.s(), same.s()))
    assert draft(nested).result == Listed((One(0), All(2)))


def test_a_group_of_one_chain_that_ends_in_a_group_is_that_group():
    assert draft(nq.group(add.s(1, 2) | nq.group(add.s(1), add.s(2)))).result == All(1)


def test_a_header_may_have_bare_tasks():
    made = nq.chord([add.s(0, 1)], nq.chord([same, same, total], same.s()))
    assert shown(made) == [
        "1 add(0, 1)",
        "2 same([‹1›]) × 2",
        "3 total([‹1›])",
        "4 same([*‹2›, ‹3›])",
    ]


# -- empty ones ------------------------------------------------------------------------------------


def test_an_empty_group_is_an_empty_list():
    made = draft(nq.group([]))
    assert (made.steps, made.result) == ((), Listed(()))


@pytest.mark.parametrize(
    "made", [nq.group([]) | total.s(), nq.chord([], total.s()), nq.chord(nq.group(), total.s())]
)
def test_the_body_of_an_empty_header_gets_an_empty_list(made):
    assert calls(draft(made).steps[0]) == [([],)]


def test_the_body_of_an_empty_header_waits_for_what_is_before():
    assert shown(same.s(1) | nq.chord([], total.s())) == ["1 same(1)", "2 total([]) after 1"]


@pytest.mark.parametrize(
    "made",
    [
        Chain(same.s(1), nq.group(x for x in []), same.s()),
        Chain(nq.group([]), same.s(1), nq.chain(), same.s()),
    ],
)
def test_a_chain_skips_empty_groups_and_chains(made):
    assert shown(made)[-2:] == ["1 same(1)", "2 same(‹1›)"]


@pytest.mark.parametrize("body", [None, nq.group([]), nq.chain()])
def test_a_chord_with_an_empty_body_gives_the_results_of_its_header(body):
    assert draft(nq.chord([same.s(1), same.s(2)], body)).result == All(0)


def test_empty_chains_are_no_members_of_a_group():
    assert shown(nq.group(same.s(1), nq.chain(), same.s(2))) == ["1 same(…) × 2"]


@pytest.mark.parametrize("made", [nq.chain(), nq.chain(nq.chain(), nq.chain())])
def test_an_empty_chain_is_refused(made):
    with pytest.raises(nq.UsageError, match="chain without tasks"):
        nq.run(made)


# -- links and errbacks ----------------------------------------------------------------------------


def test_a_link_takes_the_result_and_gives_none():
    first = same.s(1)
    assert first.link(add.s(2)) == add.s(2)
    made = draft(first | same.s())
    assert [step.takes for step in made.steps] == [None, One(0), One(0)]
    assert made.result == One(1)


def test_a_link_of_a_chain_takes_its_last_result():
    made = same.s(1) | same.s()
    made.link(add.s(2))
    assert draft(made | same.s()).steps[3].takes == One(1)


def test_an_errback_of_a_chain_rescues_all_its_steps_once():
    made = (same.s(1) | nq.chord([same.s(), same.s()], total.s())).on_error(alert.s())
    errbacks = [step for step in draft(made).steps if step.rescues]
    assert [step.rescues for step in errbacks] == [(0, 1, 2)]
    assert errbacks[0].takes == Failed("three")


def test_an_errback_of_a_group_is_one():
    made = nq.group(same.s(i) for i in range(5)).on_error(alert.s())
    assert [(len(s.calls), s.rescues) for s in draft(made | total.s()).steps] == [
        (5, ()),
        (1, ()),
        (1, (0,)),
    ]


def test_errbacks_of_members_are_their_own():
    made = nq.group(same.s(1).on_error(note.s()), same.s(2).on_error(note.s()))
    assert [step.rescues for step in draft(made).steps] == [(), (), (0,), (1,)]


def test_an_errback_that_is_linked_twice_is_one():
    made, errback = same.s(1), note.s()
    made.link_error(errback)
    made.link_error(errback)
    assert len(draft(made).steps) == 2


def test_the_errback_of_a_chords_body_rescues_its_header():
    made = nq.chord([same.s(1), add.s(1, 2)], total.s().on_error(alert.s()))
    assert draft(made).steps[3].rescues == (0, 1, 2)


@pytest.mark.parametrize(
    ("errback", "form"),
    [
        (alert.s(), Failed("three")),
        (note.s(), Failed("id")),
        (add.s("stored"), Failed("id")),  # (id, "stored"), where three would not fit
        (note.si("mine"), None),
    ],
    ids=repr,
)
def test_an_errback_is_called_as_it_can_be(errback, form):
    assert draft(same.s(1).on_error(errback)).steps[1].takes == form


def test_an_errback_may_be_a_chain():
    made = draft(same.s(1).on_error(note.s() | same.s()))
    assert [(step.takes, step.rescues) for step in made.steps[1:]] == [
        (Failed("id"), (0,)),
        (One(1), ()),
    ]


# -- misuse ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (add.s(1), r"add\(x, y\): missing a required argument: 'y'"),
        (same.s(1) | same.s(2), r"same\(x\): too many positional arguments"),
        (same.s(1) | add.s(), r"the first of which comes from the step before"),
        (same.s(1) | add.s(z=1), r"'y'|'z'"),
        (nq.map(add, [1]), r"add\(x, y\): missing a required argument: 'y'"),
        (same.s(1).on_error(total.s(1, 2, 3)), r"too many positional arguments"),
        (same.s(1).set(nope=1), r"unknown task option 'nope'"),
    ],
    ids=repr,
)
def test_what_does_not_fit_is_told_before_anything_is_sent(made, why):
    with pytest.raises(TypeError, match=why):
        nq.run(made)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: nq.run(same), r"made of signatures, .*same\.s\(…\)"),
        (lambda: nq.run(3), r"made of signatures, not of 3"),
        (lambda: draft(nq.chain(same, same)), r"made of signatures|unsupported"),
        (lambda: same.s(1).on_error(note), r"not a signature"),
        (lambda: nq.run(nq.map(same)), r"nothing to go over"),
        (lambda: draft(nq.map(same.s(1), [2])), r"cannot have arguments"),
    ],
)
def test_misuse_is_told(make, why):
    with pytest.raises((nq.UsageError, TypeError), match=why):
        make()


def test_a_map_of_a_partial_iterable_takes_it_from_the_call():
    assert draft(nq.map(same), Given(args=([1, 2],))).steps[0].values == [1, 2]


def test_what_goes_on_from_a_job_takes_its_result():
    made = draft(total.s() | same.s(), Given(take=Other("0" * 16, single=False)))
    assert [step.takes for step in made.steps] == [Other("0" * 16, single=False), One(0)]


# -- how it is shown -------------------------------------------------------------------------------


class Plain:
    """An object whose own repr is an address."""


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (add.s(1, y=2), "add(1, y=2)"),
        (same.s("x" * 100), "same('xxxxxxxxxxxxxxxxx...xxxxxxxxxxxxxxxxxx')"),
        (same.s(Plain()), "same(<Plain>)"),
        (same.s(1) | same.s(), "same(1) | same()"),
        (nq.group([same.s(i) for i in range(9)]), "group(same(0), same(1), same(2), … 6 more)"),
        (nq.group([]), "group()"),
        (nq.chain(), "chain()"),
        (nq.chord([same.s(1)], total.s()), "chord(group(same(1)), total())"),
        (nq.map(same, range(5)), "map(same, range(0, 5))"),
        (nq.map(same), "map(same)"),
        (nq.map(same, iter([1])), "map(same, …)"),
        (nq.map(same, dict.fromkeys("abc").values()), "map(same, 3 values)"),
        (same.s({"text": "x" * 50}), "same({'text': 'xxxxxxxxxxxxxxxxx...xxxxxxxxx…)"),
        (nq.chunks(add, [(1, 2)], 10), "chunks(add, [(1, 2)], 10)"),
    ],
)
def test_signatures_are_written_shortly(made, text):
    assert repr(made) == text


def test_an_array_is_written_by_its_shape():
    np = pytest.importorskip("numpy")
    assert repr(same.s(np.zeros((30, 40)))) == "same(<ndarray 30 × 40>)"


def test_a_graph_is_drawn():
    drawn = (nq.group(same.s(1), add.s("<", 2)) | total.s()).on_error(alert.s()).graph()
    svg = drawn._repr_svg_()
    assert svg.count("<rect") == 4
    assert svg.count('class="takes"') == 2
    assert svg.count('class="fails"') == 1  # of the last step, which fails when another has
    assert "&lt;" in svg
    assert "currentColor" in svg
    assert svg in drawn._repr_html_()


def test_a_graph_of_very_many_steps_is_text():
    drawn = nq.group(same.s(i).on_error(note.s()) for i in range(300)).graph()
    assert drawn._repr_svg_() is None
    assert drawn._repr_html_().startswith("<pre>")
    assert repr(drawn).endswith("… and 100 more steps")


def test_a_signature_is_a_table_in_a_notebook():
    made = same.s("<").set(queue="far").on_error(note.s())
    table = things.workflow(made)
    assert "same(&#x27;&lt;&#x27;)" in table
    assert "note()" in table
    assert "far" in table
    assert "nbqueue_errback" not in table


# -- in this process -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "want"),
    [
        (add.s(1, 2) | add.s(3), 6),
        (nq.group(same.s(i) for i in range(4)) | total.s(), 6),
        (same.s(5) | nq.group((add.s(1) | add.s(2)), add.s(3)), [8, 8]),
        (same.s([1, 2]) | nq.map(same) | total.s(), 3),
        (nq.starmap(add, [(1, 2), (3, 4)]), [3, 7]),
        (same.s([{"y": "b", "x": "a"}]) | nq.starmap(add), ["ab"]),
        (nq.chord([], total.s()), 0),
        (nq.group([]), []),
    ],
    ids=repr,
)
def test_apply_runs_a_workflow_here(made, want):
    result = made.apply()
    assert (result.get(), result.state) == (want, "SUCCESS")


def test_apply_calls_errbacks_and_leaves_out_what_follows():
    told = []
    errback = nq.task(lambda request, exc, traceback: told.append((request.task, str(exc))))
    fail = nq.task(lambda x: x / 0, name="fail")
    followed = nq.task(lambda x: told.append("followed"))
    failing = nq.group(fail.s(1), same.s(2), fail.s(3)) | followed.s()
    result = failing.apply(link_error=errback.s())
    assert result.state == "FAILURE"
    assert told == [("fail", "division by zero")]
    with pytest.raises(ZeroDivisionError):
        result.get()


def test_apply_takes_more_arguments():
    assert (add.s() | add.s(10)).apply((1, 2)).get() == 13


def test_a_bound_task_may_be_replaced_here_too():
    @nq.task(bind=True)
    def outer(self, x):
        self.replace(inner.s(x) | add.s(1))
        raise AssertionError("not reached")

    @nq.task(bind=True)
    def inner(self, x):
        return self.replace(nq.group(same.s(x), same.s(x)) | total.s())

    assert outer(5) == 11
    assert (outer.s(1) | add.s(1)).apply().get() == 4


@pytest.mark.parametrize(
    "compose", [lambda: same.s(1) | same, lambda: nq.chain(same.s(1), same), lambda: nq.run(same)]
)
def test_a_task_without_arguments_is_told_how_to_become_a_signature(compose):
    with pytest.raises(nq.UsageError, match=r"for a call of that task, write same\.s"):
        compose()


def test_what_is_nested_too_deeply_says_so():
    made = add.s(1, 2)
    for _ in range(1000):
        made = nq.group(made, add.s(1, 2)) | nq.task(sum).s()
    with pytest.raises(UsageError, match="nested more deeply than Python can follow"):
        made.graph()
    assert repr(made) == "<Chord, very deeply nested>"


@nq.task
def triple(x):
    return 3 * x


def test_in_a_large_group_calls_of_one_task_are_one_step_and_results_in_order():
    double = nq.task(lambda x: 2 * x, name="double")
    members = [(double, triple, triple)[k % 3].s(k) for k in range(200)]
    members[100] = members[100] | double.s()
    made = nq.group(members)
    found = draft(made)
    assert [len(step.calls) for step in found.steps] == [67, 132, 1, 1]
    want = [(2, 3, 3)[k % 3] * k for k in range(200)]
    want[100] *= 2
    assert made.apply().get() == want
    assert (made | nq.task(list, name="same").s()).apply().get() == want
    small = nq.group(members[:30])
    assert len(draft(small).steps) == 20


def test_a_take_in_another_order_travels():
    take = Listed((Spread(0), One(1)), (2, 0, 1))
    assert from_plain(to_plain(take)) == take
    assert take.ordered(["a", "b", "c"]) == ["c", "a", "b"]
    assert to_plain(Listed((One(0),))) == ["list", [["one", 0]]]
