"""What every floor may use: settings, errors, time, ids, work in threads."""
