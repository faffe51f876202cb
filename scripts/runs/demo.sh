#!/usr/bin/env bash
# The demo vault: made once from scripts/demo, then opened in the terminal UI, or asked once without a terminal.
set -euo pipefail
cd "$(dirname "$0")/../.."
appliance=.venv/bin/appliance
home=${APPLIANCE_HOME:-${XDG_DATA_HOME:-$HOME/.local/share}/appliance}
secret=$home/demo-passphrase

if [ ! -s "$secret" ]; then
  # Not a secret: it opens only the sample documents that lie in the clear in scripts/demo.
  mkdir -p -m 700 "$home"
  (umask 077 && printf 'demonstration only\n' >"$secret.new" && mv "$secret.new" "$secret")
fi
if [ ! -d "$home/vaults/demo" ]; then
  echo "==> making the demo vault"
  "$appliance" init --vault demo --passphrase-file "$secret"
fi
echo "==> putting the sample documents into it"
"$appliance" add --vault demo --passphrase-file "$secret" scripts/demo

if [ -t 0 ] && [ -t 1 ]; then
  exec "$appliance" tui --vault demo --passphrase-file "$secret"
fi
question="What does alarm E04 mean and what must be done?"
echo "==> asking: $question"
"$appliance" ask --vault demo --passphrase-file "$secret" "$question"
echo "==> done. In a terminal \`make run\` opens the terminal UI. Your own vault: .venv/bin/appliance init"
