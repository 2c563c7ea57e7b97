"""Which plates, wells and compounds there are, and which of them train or test."""
