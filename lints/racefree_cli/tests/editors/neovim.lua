-- Runs in a headless Neovim, in the folder of a project: `nvim --headless --clean -l` is newer than 0.7, so `-c "luafile …"`.
-- Sees the finding, applies the action that RACEFREE_ACTION names, sees the finding vanish, and leaves with 0. Whatever else happens is told, and gives 1.

local SECONDS_MAX = 120

local function leave(message)
  io.stderr:write(message .. "\n")
  vim.cmd("cquit 1")
end

local function await(what, condition)
  if not vim.wait(SECONDS_MAX * 1000, condition, 20) then
    leave("waited in vain: " .. what)
  end
end

local function main()
  local file = vim.env.RACEFREE_FILE
  vim.cmd("edit " .. file)
  local buffer = vim.api.nvim_get_current_buf()
  local id = vim.lsp.start_client({
    name = "racefree",
    cmd = { vim.env.RACEFREE_BINARY, "lsp" },
    root_dir = vim.fn.getcwd(),
  })
  vim.lsp.buf_attach_client(buffer, id)
  await("a diagnostic", function()
    return #vim.diagnostic.get(buffer) > 0
  end)
  local found = vim.diagnostic.get(buffer)[1]
  print("diagnostic " .. found.source .. " " .. found.code .. " line " .. (found.lnum + 1))
  local related = found.user_data.lsp.relatedInformation
  for _, step in ipairs(related) do
    print("related " .. vim.fn.fnamemodify(vim.uri_to_fname(step.location.uri), ":t"))
  end

  vim.api.nvim_win_set_cursor(0, { found.lnum + 1, found.col })
  local position = vim.lsp.util.make_position_params(0, "utf-16")
  local hover = vim.lsp.buf_request_sync(buffer, "textDocument/hover", position, SECONDS_MAX * 1000)
  print("hover " .. hover[id].result.contents.value:match("^[^\n]*"))

  local params = vim.lsp.util.make_range_params(0, "utf-16")
  params.context = { diagnostics = {} }
  local answers = vim.lsp.buf_request_sync(buffer, "textDocument/codeAction", params, SECONDS_MAX * 1000)
  for _, action in ipairs(answers[id].result) do
    print("action " .. action.title)
    if action.title == vim.env.RACEFREE_ACTION then
      vim.lsp.util.apply_workspace_edit(action.edit, "utf-16")
    end
  end
  await("that the diagnostic vanishes", function()
    return #vim.diagnostic.get(buffer) == 0
  end)
  vim.cmd("write")
  vim.lsp.stop_client(id)
  vim.cmd("quitall")
end

local fine, message = pcall(main)
if not fine then
  leave(message)
end
