from __future__ import annotations

import uuid

import pytest

from streamnb.simulator.deepset_ask import AskError
from streamnb.simulator.deepset_sessions import SEEDED, Cursor, Workspace, Workspaces, pipeline_id


def workspace() -> Workspace:
    return Workspaces().find("any")


def ids(page: dict) -> list[str]:
    return [row["search_session_id"] for row in page["data"]]


def newest_first(place: Workspace) -> list[str]:
    return list(reversed(place.sessions))


def test_a_workspace_has_25_sessions_that_follow_from_its_name():
    place = workspace()
    assert len(place.sessions) == SEEDED == 25
    assert all(str(uuid.UUID(name)) == name for name in place.sessions)
    assert list(place.sessions) == list(workspace().sessions)
    assert not set(place.sessions) & set(Workspaces().find("other").sessions)


def test_a_workspace_remembers_what_happened_in_it():
    places = Workspaces()
    session = places.find("any").open("p")
    places.find("any").awake = True
    session.turns += 1
    assert places.find("any").find(session.id).turns == 1
    assert places.find("any").awake
    assert not places.find("other").awake


def test_only_the_hundred_workspaces_asked_for_last_are_kept():
    places = Workspaces()
    first, second = places.find("first"), places.find("second")
    for number in range(98):
        places.find(f"other {number}")
    assert places.find("first") is first  # it is now the one asked for last
    places.find("one too many")
    assert places.find("first") is first
    assert places.find("second") is not second


def test_only_the_newest_thousand_sessions_are_kept():
    place = workspace()
    oldest = next(iter(place.sessions))
    made = [place.open("p").id for _ in range(1000)]
    assert oldest not in place.sessions
    assert list(place.sessions) == made


def test_an_unknown_session_is_a_404():
    with pytest.raises(AskError) as caught:
        workspace().find(str(uuid.uuid4()))
    assert caught.value.status == 404
    assert caught.value.body == {"errors": ["There is no such search session in this workspace."]}


def test_a_page_shows_the_newest_first():
    place = workspace()
    session = place.open(pipeline_id("any", "p"))
    page = place.page(10, Cursor())
    assert ids(page) == newest_first(place)[:10]
    assert page["data"][0] == {
        "search_session_id": session.id,
        "pipeline_id": pipeline_id("any", "p"),
        "created_at": session.created_at,
    }
    times = [row["created_at"] for row in page["data"]]
    assert times == sorted(times, reverse=True)
    assert (page["has_more"], page["total"]) == (True, 26)


def test_pages_by_number_come_to_every_session_once():
    place = workspace()
    pages = [place.page(10, Cursor(page=number)) for number in (1, 2, 3)]
    assert [name for page in pages for name in ids(page)] == newest_first(place)
    assert [page["has_more"] for page in pages] == [True, True, False]
    assert place.page(10, Cursor(page=4)) == {"data": [], "has_more": False, "total": 25}


def test_a_full_last_page_has_no_more():
    place = workspace()
    assert place.page(25, Cursor())["has_more"] is False
    assert place.page(5, Cursor(page=5))["has_more"] is False


def test_before_goes_on_to_older_sessions():
    place = workspace()
    found, cursor, more = [], Cursor(), True
    while more:
        page = place.page(10, cursor)
        found += ids(page)
        cursor, more = Cursor(before=found[-1]), page["has_more"]
    assert found == newest_first(place)


def test_after_goes_back_to_younger_sessions_without_a_gap():
    place = workspace()
    names = newest_first(place)
    page = place.page(10, Cursor(after=names[20]))
    assert (ids(page), page["has_more"]) == (names[10:20], True)
    page = place.page(10, Cursor(after=names[10]))
    assert (ids(page), page["has_more"]) == (names[:10], False)
    assert ids(place.page(10, Cursor(after=names[0]))) == []


def test_a_page_number_overrules_the_ids():
    place = workspace()
    names = newest_first(place)
    assert ids(place.page(3, Cursor(before=names[9], page=1))) == names[:3]


@pytest.mark.parametrize("side", ["before", "after"])
def test_an_unknown_id_to_count_from_is_a_404(side):
    with pytest.raises(AskError):
        workspace().page(10, Cursor(**{side: str(uuid.uuid4())}))


def test_a_pipelines_id_follows_from_the_names():
    assert pipeline_id("a", "p") == pipeline_id("a", "p") != pipeline_id("b", "p")
    assert str(uuid.UUID(pipeline_id("a", "p"))) == pipeline_id("a", "p")
