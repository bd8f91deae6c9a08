"""IMAP without sockets: bytes in, commands out; what is known of mails and folders in, answers out."""
