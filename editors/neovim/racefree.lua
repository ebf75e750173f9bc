-- Neovim 0.7 to 0.10: ~/.config/nvim/plugin/racefree.lua. One server for each project, beside other language servers.
local clients = {}

local function root_of(file)
  for _, marker in ipairs({ "racefree.toml", "mix.exs", ".git" }) do
    local found = vim.fn.findfile(marker, file .. ";")
    if found == "" then
      found = vim.fn.finddir(marker, file .. ";")
    end
    if found ~= "" then
      return vim.fn.fnamemodify(found, ":p:s?/$??:h")
    end
  end
  return vim.fn.fnamemodify(file, ":p:h")
end

vim.api.nvim_create_autocmd("FileType", {
  pattern = { "elixir" },
  callback = function(event)
    local file = vim.api.nvim_buf_get_name(event.buf)
    if file == "" then
      return
    end
    local root = root_of(file)
    clients[root] = clients[root]
      or vim.lsp.start_client({
        name = "racefree",
        cmd = { "racefree", "lsp" },
        root_dir = root,
        on_exit = function()
          clients[root] = nil
        end,
      })
    if clients[root] then
      vim.lsp.buf_attach_client(event.buf, clients[root])
    end
  end,
})
