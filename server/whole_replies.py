"""A reply is handed to the run's process once all of it is there.

Flower hands it over as soon as it is announced, and drops the question then. A site that did not
hear whether its announcement had arrived makes it again, and is told that nothing is wanted: its
answer would never come. Here the question stays until the reply itself, which sites send last of
its objects, is there; so an announcement can be repeated, and nobody asks for what has not come.
"""

from typing import Any

_LATE = (
    "SELECT reply_to_message_id FROM message_res JOIN objects ON object_id = message_id "
    "WHERE is_available = 0"
)


def only_whole(state: Any, store: Any) -> Any:
    """`state`, Flower's link state, whose replies are whole.

    Args:
        state: Changed.
        store: Of objects, over the same database.
    """
    replies = state.get_message_res

    def whole(message_ids: set[str], run_id: int) -> Any:
        late = {str(row["reply_to_message_id"]) for row in store.query(_LATE, {})}
        return replies(message_ids=asked, run_id=run_id) if (asked := message_ids - late) else []

    state.get_message_res = whole
    return state
