"""One module per live figure; :mod:`icl_lib.live` names them all."""
