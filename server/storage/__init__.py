"""What is kept, one file per noun; `database.py` owns connections and transactions."""
