"""One style for a day with its time, which every reader of any language sorts and reads alike."""

DATETIME_FORMAT = "Y-m-d H:i"
