"""Known bugs by subject. `planted.py` plants each into a copy of the tree, and runs the test that has to find it.

The letters are those of the usual list of such servers' faults; the numbers were found by simulations here.
Later bugs have a sign that begins with a letter, or a word, of their subject.
"""

from bugs import (
    access,
    checks,
    day_two,
    durability,
    events,
    forms,
    hashes,
    heads,
    ietf,
    large_bodies,
    monitoring,
    object_storage,
    open_copies,
    operator,
    published_files,
    publishing,
    quotas,
    requests,
    short_bodies,
    short_files,
    stores,
    usual_list,
)
from bugs.bug import Bug

__all__ = ["BUGS", "Bug"]

BUGS = (
    *usual_list.BUGS,
    *durability.BUGS,
    *short_files.BUGS,
    *hashes.BUGS,
    *stores.BUGS,
    *object_storage.BUGS,
    *open_copies.BUGS,
    *checks.BUGS,
    *publishing.BUGS,
    *published_files.BUGS,
    *events.BUGS,
    *heads.BUGS,
    *short_bodies.BUGS,
    *large_bodies.BUGS,
    *monitoring.BUGS,
    *operator.BUGS,
    *day_two.BUGS,
    *requests.BUGS,
    *forms.BUGS,
    *ietf.BUGS,
    *access.BUGS,
    *quotas.BUGS,
)
