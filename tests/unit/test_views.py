"""Text, HTML and PNG of a picture: safe whatever is in it, small, and the same each time."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nbqueue.core import states
from nbqueue.core.records import Error, Output, Progressed, Started
from nbqueue.notebook import picture, taking
from nbqueue.notebook.picture import Grid
from nbqueue.notebook.views import ansi, frame, html, outputs, palette, png, text, words
from nbqueue.store.values import arguments, results
from nbqueue.store.values.packing import pack
from tests.unit.builders import DictBlobs, make_live, make_outcomes, make_state

TAGS = set(
    "b br details div img p pre span strong summary table tbody td th thead tr".split()  # noqa: SIM905 - a word each
)
ATTRIBUTES = {"style", "src", "alt", "open", "width", "height", "border", "class", "scope"}

NASTY = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            "<script>alert(1)</script>",
            '"><img src=x onerror=alert(1)>',
            "'><svg onload=alert(1)>",
            "</td></tr></table><script>",
            "</details></div>",
            "&lt;b&gt; &amp; &#x3c;",
            "\x1b[31m<i>\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07",
            "\x1b[38;2;1;2;3m\x1b[48;5;9999m\x1b[;;m<u>\x1b[0m",
            "a\rb\x00\x08\x7f",
            "<!-- ",
            "]]>",
            "\ud800",
        ]
    ),
)


class Seen(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.open, self.texts = set(), [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in ("img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")


def check(page):
    seen = Seen(page)
    assert seen.tags <= TAGS
    assert not seen.open
    for name, value in seen.attributes:
        assert name in ATTRIBUTES, name
        if name == "src":
            assert re.fullmatch(r"data:image/[a-z+]+;base64,[A-Za-z0-9+/=]*", value)
        if name == "style":
            assert not re.search(r"url\(|expression|javascript|<", value, re.I)
    assert "\x1b" not in page
    return seen


def nasty_state(name, word, *, n, running):
    blobs = DictBlobs()
    value = results.Packed(pack({word: word, "n": [word]}, blobs))
    batch = make_outcomes([(0, 2)], failed={1}, values=[value, None], worker=word)
    batch = replace(batch, errors=(Error(word, word, f"{word}\n{word}"),), error_of=((1, 0),))
    stream = {"output_type": "stream", "name": "stdout", "text": word}
    state = make_state(
        n,
        *([] if n < 2 else [batch]),
        Output(0, "m", 0, stream),
        Output(
            0, "m", 1, {"output_type": "error", "ename": word, "evalue": word, "traceback": [word]}
        ),
        Output(
            0, "m", 2, {"output_type": "display_data", "data": {"text/plain": word}, "metadata": {}}
        ),
        name=name,
        task=word,
        params=(word, "y"),
    )
    if running:
        state.apply(Started(1, word, "m", n - 1, 1005.0))
        state.apply(Progressed(n - 1, 1, 2, {word: word}))
    block = arguments.pack_columns([[word] * n, [word] * n], blobs, ("x", "y"), 0)
    return make_live(state, blocks={0: block})


@given(NASTY, NASTY, st.sampled_from([1, 2, 5]), st.booleans())
def test_nothing_that_comes_from_outside_is_markup(name, word, n, running):
    taken = taking.take(nasty_state(name, word, n=n, running=running), note=word)
    check(html.page(taken))
    assert "\x1b" not in text.page(taken)


def test_what_was_escaped_reads_as_it_was_written():
    taken = taking.take(nasty_state("<b>bold</b>", "a & <c>", n=5, running=True))
    words = "".join(check(html.page(taken)).texts)
    assert "<b>bold</b>" in words
    assert "a & <c>" in words


# -- a job ---------------------------------------------------------------------------------------


def page_of(state, **options):
    taken = taking.take(make_live(state, **options))
    return html.page(taken), text.page(taken)


def test_the_page_says_what_became_of_the_job():
    page, plain = page_of(make_state(4, make_outcomes([(0, 4)], failed={1})))
    words = "".join(check(page).texts)
    for said in ("grid", "finished, 1 failed", "4 of 4", "took 2.8 s", "3 succeeded", "bad 1"):
        assert said in words
    assert plain == (
        "<Job 'grid': FAILURE, 4 items (SUCCESS 3, FAILURE 1)>\nitem 1: ValueError: bad 1"
    )


def test_without_styles_and_images_the_words_say_it_all():
    page, _ = page_of(make_state(4, make_outcomes([(0, 3)], failed={1})))
    bare = " ".join(re.sub(r"<[^>]*>", " ", page).split())
    assert "running" in bare
    assert "2 succeeded" in bare
    assert "1 waiting" in bare


def test_a_single_call_is_one_line_and_its_outputs():
    stream = {"output_type": "stream", "name": "stdout", "text": "fitting\n"}
    state = make_state(1, make_outcomes([(0, 1)]), Output(0, "m", 0, stream), block=0)
    page, plain = page_of(state)
    seen = check(page)
    assert "details" not in seen.tags
    assert "img" not in seen.tags
    assert "fitting" in "".join(seen.texts)
    assert plain == "<Job 'grid': SUCCESS, 1 item (SUCCESS 1)>\nfitting"


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"SUCCESS": 3}, "succeeded"),
        ({"FAILURE": 3}, "failed"),
        ({"REVOKED": 3}, "cancelled"),
        ({"SUCCESS": 1, "REVOKED": 2}, "2 of 3 cancelled"),
        ({"SUCCESS": 1, "FAILURE": 1, "REVOKED": 1}, "finished, 1 failed, 1 cancelled"),
        ({"SUCCESS": 2, "FAILURE": 1}, "finished, 1 failed"),
    ],
)
def test_the_heading_says_what_became_of_all_items(counts, said):
    taken = picture.JobPicture("grid", "fit", "SUCCESS", 3, counts, True, 1.0)
    assert words.headline(taken) == said
    assert said in html.page(taken)


def test_the_most_frequent_errors_come_with_how_often_and_where():
    batch = make_outcomes([(0, 4)], failed=range(4))
    of = ((0, 0), (1, 1), (2, 1), (3, 1))
    page, _ = page_of(make_state(4, replace(batch, errors=batch.errors[:2], error_of=of)))
    words_ = "".join(check(page).texts)
    assert "3 × ValueError: bad 1 · first: item 1" in words_
    assert "ValueError: bad 0 · item 0" in words_


def test_the_table_of_items_fits_its_page_and_says_what_it_leaves_out():
    blobs = DictBlobs()
    value = results.Packed(pack({f"some_long_name_{k}": "x" * 50 for k in range(12)}, blobs))
    page, _ = page_of(make_state(30, make_outcomes([(0, 30)], values=[value] * 30)))
    words_ = "".join(check(page).texts)
    assert "some_long_name_0" in words_
    assert "10 more items and columns " in words_
    assert "some_long_name_11, run, worker: job.to_frame()" in words_


def test_the_table_of_items_has_times_that_a_person_reads():
    page, _ = page_of(make_state(2, make_outcomes([(0, 2)])))
    words_ = "".join(check(page).texts)
    assert "run_s" not in words_
    assert "0.25 s" in words_


def test_what_a_call_printed_at_length_is_folded():
    stream = {"output_type": "stream", "name": "stdout"}
    text = "\x1b[31m" + "".join(f"line {k}\n" for k in range(200))
    page, _ = page_of(
        make_state(1, make_outcomes([(0, 1)]), Output(0, "m", 0, {**stream, "text": text}), block=0)
    )
    seen = check(page)
    above, below = page.split("<details>")
    assert "line 9" in above
    assert "line 10" not in above
    assert "190 more lines" in below
    assert "line 199" in below
    assert '<span style="color:#d64545">line 10' in below
    short, _ = page_of(
        make_state(
            1, make_outcomes([(0, 1)]), Output(0, "m", 0, {**stream, "text": "a\n" * 30}), block=0
        )
    )
    assert "<details>" not in short
    assert "details" in seen.tags


def test_text_has_the_beginning_of_what_items_printed():
    state = make_state(50, make_outcomes([(0, 50)]))
    for i in range(50):
        text = f"line of {i}\n" + "x" * 1000
        state.apply(Output(i, "m", 0, {"output_type": "stream", "name": "stdout", "text": text}))
    _, plain = page_of(state)
    lines = plain.splitlines()
    assert lines[1:3] == ["-- item 0:", "line of 0"]
    assert lines[3].endswith("…")
    assert lines[-1] == "… and what 45 other items displayed: job.outputs"
    assert len(plain) < 2_500


def test_the_traceback_of_a_call_is_shown_once():
    batch = make_outcomes([(0, 1)], failed={0})
    error = {"output_type": "error", "ename": "E", "evalue": "", "traceback": ["the cell's own"]}
    page, _ = page_of(make_state(1, batch, block=0))
    assert page.count("tb 0") == page.count("bad 0") == 1
    page, _ = page_of(make_state(1, batch, Output(0, "m", 0, error), block=0))
    assert "tb 0" not in page
    assert "bad 0" not in page
    assert "the cell&#x27;s own" in page


def test_text_has_no_times():
    early, late = (page_of(make_state(3, make_outcomes([(0, 2)])), now=t)[1] for t in (1005, 9999))
    assert early == late


def test_a_vanished_job_says_so():
    taken = taking.take(make_live(make_state(3)), note="gone <b>")
    assert "gone &lt;b&gt;" in html.page(taken)
    assert "gone <b>" in text.page(taken)


@pytest.mark.parametrize("n", [1000, 100_000, 1_000_000])
def test_a_page_is_small_however_large_the_job(n):
    state = make_state(n, block=10_000)
    for a in range(0, n, 100_000):
        b = min(n, a + 100_000)
        state.apply(make_outcomes([(a, b)], failed=range(a, b, 1000), values=[None] * (b - a)))
    page, plain = page_of(state)
    assert len(page) < 100_000
    assert len(plain) < 1_000


# -- outputs -------------------------------------------------------------------------------------


def shown(*made):
    return outputs.html(made)


def display(**data):
    return {"output_type": "display_data", "data": data, "metadata": {}}


def test_images_become_data_uris():
    page = shown(display(**{"image/png": base64.b64encode(b"png").decode(), "text/plain": "Fig"}))
    assert page.startswith('<img src="data:image/png;base64,cG5n"')
    check(page)


def test_what_is_no_base64_is_no_image():
    page = shown(display(**{"image/png": '"><script>', "text/plain": "instead"}))
    check(page)
    assert "instead" in page


def test_svg_is_an_image_whose_scripts_do_not_run():
    page = shown(display(**{"image/svg+xml": "<svg><script>alert(1)</script></svg>"}))
    assert "<svg" not in page
    check(page)


def test_a_frame_that_the_item_displayed_is_a_table():
    table = pd.DataFrame({"a": ["<b>"]})._repr_html_()
    assert table in shown(display(**{"text/html": table, "text/plain": "a"}))


@pytest.mark.parametrize(
    "own", ["</div></div>", "<div>", "<table><tr><td>", "<b", "<!-- ", "<script>", "a<textarea>"]
)
def test_html_that_would_break_the_page_is_shown_as_text(own):
    page = shown(display(**{"text/html": own, "text/plain": "instead"}))
    assert "instead" in page
    check(page)


@pytest.mark.parametrize("own", ["<p>one<p>two", "a &amp; b", "<br><hr>", "<b><i>x</i></b>"])
def test_html_that_is_whole_is_left_alone(own):
    assert own in shown(display(**{"text/html": own, "text/plain": "instead"}))


def test_lists_of_lines_are_one_text():
    assert "one\ntwo" in shown(display(**{"text/plain": ["one\n", "two"]}))


def test_long_text_loses_its_middle():
    page = shown({"output_type": "stream", "name": "stdout", "text": "a" + "x" * 100_000 + "z"})
    assert len(page) < 21_000
    assert "80,002 characters left out" in page
    assert "xz</pre>" in page


def test_more_than_a_notebook_should_hold_is_counted():
    picture_ = display(**{"image/png": "A" * 1_000_000})
    page = outputs.html([picture_] * 5)
    assert page.count("<img") == 1
    assert "4 more outputs" in page


@given(st.text(alphabet="ab<>&\x1b[]0123456789;mK\r\n\x07"))
def test_ansi_text_is_escaped_and_loses_no_letters(said):
    made = ansi.html(said)
    letters = re.sub(r"<[^>]*>", "", made)
    assert set(re.findall(r"<(/?\w+)", made)) <= {"span", "/span"}
    assert re.sub(r"[^ab]", "", letters.replace("&amp;", "")) == re.sub(
        r"[^ab]", "", ansi.plain(said)
    )


def test_colours_and_weights():
    assert ansi.html("\x1b[1;31mx\x1b[22my\x1b[39mz") == (
        '<span style="font-weight:bold;color:#d64545">x</span><span style="color:#d64545">y</span>z'
    )
    assert 'color:#ff0000">' in ansi.html("\x1b[38;5;196mred")
    assert 'color:#010203">' in ansi.html("\x1b[38;2;1;2;3mx")


def test_a_progress_bar_has_written_over_itself():
    assert ansi.plain("10 %\r50 %\r100 %\nnext\r\n") == "100 %\nnext\n"


# -- the grid ------------------------------------------------------------------------------------


def decoded(body):
    image = Image.open(io.BytesIO(body))
    image.load()
    return image


@pytest.mark.parametrize("n", [0, 1, 2, 39, 40, 41, 999, 5000, 10_000])
def test_the_grid_is_a_small_transparent_png(n):
    codes = np.resize(np.array([0, 1, 3, 3, 3, 4, 5], np.uint8), n).tobytes()
    body = png.grid(Grid(codes))
    image = decoded(body)
    assert image.mode == "P"
    assert image.width <= png.WIDTH
    assert image.height <= 400
    assert len(body) < 8_000
    if n:
        assert image.convert("RGBA").getextrema()[3][1] == 255


def test_a_grid_of_a_million_is_read_in_a_glance():
    codes = np.full(1_000_000, states.SUCCESS_CODE, np.uint8)
    codes[::1001] = states.FAILURE_CODE
    body = png.grid(picture.grid(codes.tobytes()))
    image = decoded(body)
    assert image.width <= 640
    assert image.height < 300
    assert len(body) < 5_000


@pytest.mark.parametrize("code", range(6))
def test_each_state_has_its_colour_and_its_shape(code):
    image = decoded(png.grid(Grid(bytes([code])))).convert("RGBA")
    pixels = {image.getpixel((x, y)) for x in range(13) for y in range(13)}
    wanted = palette.LOOKS[states.NAMES[code]].colour
    inks = {"#{:02x}{:02x}{:02x}".format(*p[:3]) for p in pixels if p[3] == 255}
    assert inks == {wanted}


def test_no_two_states_have_one_shape():
    shapes = set()
    for code in range(6):
        image = decoded(png.grid(Grid(bytes([code])))).convert("RGBA")
        shapes.add(bytes(image.getchannel("A").tobytes()))
    assert len(shapes) == 6


@pytest.mark.parametrize("side", [5, 7, 9, 13])
def test_shapes_differ_at_every_size_that_has_room_for_them(side):
    assert len({png._shape(code, side).tobytes() for code in range(6)}) == 6


def test_a_lane_is_filled_as_far_as_it_was_busy():
    image = decoded(png.lane([0.0, 0.001, 0.5, 1.0], height=10, across=1)).convert("RGBA")
    filled = [sum(image.getpixel((x, y))[3] == 255 for y in range(10)) for x in range(4)]
    assert filled == [0, 1, 5, 10]


# -- frames --------------------------------------------------------------------------------------


def test_a_long_frame_is_shown_as_pandas_shows_it():
    whole = pd.DataFrame(
        {"x": range(1000), "y": ["</tr><b>"] * 1000}, index=pd.RangeIndex(1000, name="item")
    )
    rows = whole.iloc[[0, 1, 2, 3, 4, 995, 996, 997, 998, 999]]
    made = frame.html(rows, 5, 1000)
    expected = whole._repr_html_()
    assert made.split() == expected.split()
    lines = frame.text(rows, 5, 1000).splitlines()
    assert lines[7] == "..."
    assert lines[-1] == "[1000 rows x 2 columns]"


@pytest.mark.parametrize("cut", [None, 1])
def test_frames_in_a_frame_are_told_by_their_shape(cut):
    frames = [pd.DataFrame({"a": [1, 2, 3]}), pd.Series([1, 2]), polars.DataFrame({"a": [1]})]
    rows = pd.DataFrame({"x": pd.Series([*frames, "text", [1]], dtype=object)})
    lines = frame.text(rows, cut, 5).splitlines()[1:]
    shown = ["DataFrame 3 × 1", "Series 2", "DataFrame 1 × 1", "text", "[1]"]
    assert [" ".join(line.split()[1:]) for line in lines if line[:1].isdigit()] == shown
    assert re.findall(r"<td>(.*)</td>", frame.html(rows, None, 5)) == shown
    assert rows["x"][0] is frames[0]


def test_a_short_frame_is_shown_whole():
    rows = pd.DataFrame({"x": [1, 2]})
    assert "..." not in frame.html(rows, None, 2)
    assert frame.text(rows, None, 2) == repr(rows)
    assert "no longer &lt;here&gt;" in frame.html(rows, None, 2, "no longer <here>")


def test_results_from_the_cache_are_said_to_be():
    batch = replace(make_outcomes([(0, 4)]), cached=((0, 3),))
    page, _ = page_of(make_state(4, batch))
    assert "4 of 4 · 3 from the cache · " in " ".join("".join(check(page).texts).split())
    whole, _ = page_of(make_state(4, replace(batch, cached=((0, 4),))))
    assert "all from the cache" in "".join(check(whole).texts)
