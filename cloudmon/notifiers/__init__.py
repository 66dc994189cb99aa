"""The notifiers that come along: webhooks and e-mail. Found through their entry points, as everybody's are."""
