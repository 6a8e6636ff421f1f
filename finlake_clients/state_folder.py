"""The folder in which the local stack keeps everything: how much more its disk takes."""

import shutil
from pathlib import Path

from finlake_clients.service_client import ServiceClient


class StateFolder(ServiceClient):
    """The state folder, FINLAKE_HOME."""

    path: str

    def free_bytes(self) -> int:
        """Bytes that finlake may still write on the folder's disk, or on the one where the folder would be made."""
        folder = Path(self.path).absolute()
        return shutil.disk_usage(next(each for each in (folder, *folder.parents) if each.exists())).free
