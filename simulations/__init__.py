"""Both sides in one process; never imported by client, server or shared; not in the app bundle."""
