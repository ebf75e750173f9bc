-- Neovim 0.11 and newer: ~/.config/nvim/lsp/racefree.lua, and `vim.lsp.enable("racefree")` in init.lua.
return {
  cmd = { "racefree", "lsp" },
  filetypes = { "elixir" },
  root_markers = { "racefree.toml", "mix.exs", ".git" },
}
