"""The desk: what the API and the command line ask of hintd, done once for both.

Stands on the house and the services.  What is asked comes in checked and read; what is answered are the documents of
``hintd.web.shapes``.
"""

from __future__ import annotations

from hintd.composition import House
from hintd.desk.batches import HouseBatches
from hintd.desk.connections import HouseConnections
from hintd.desk.links import HouseLinks
from hintd.desk.log import HouseLog
from hintd.desk.parked import HouseParked
from hintd.web.desk import Desk


def make_desk(house: House) -> Desk:
    return Desk(HouseConnections(house), HouseLinks(house), HouseParked(house), HouseBatches(house), HouseLog(house))
