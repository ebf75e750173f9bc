-- Runs in a headless Neovim, in the folder of a project: `nvim --headless --clean -l` is newer than 0.7, so `-c "luafile …"`.
-- With RACEFREE_FILE: sees the finding in it, applies the action that RACEFREE_ACTION names, sees the finding vanish, and leaves with 0.
-- With RACEFREE_FILES: opens the first, and lists what is shown of the whole project. Whatever else happens is told, and gives 1.

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

-- The buffer and the client.
local function open(file)
  vim.cmd("edit " .. vim.fn.fnameescape(file))
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
  return buffer, id
end

-- What a person sees of a diagnostic: places in characters, from 1.
local function shown(found)
  local path = vim.fn.fnamemodify(vim.api.nvim_buf_get_name(found.bufnr), ":.")
  local lines = vim.fn.readfile(path)
  local function place(line, byte)
    return (line + 1) .. ":" .. (vim.str_utfindex(lines[line + 1], byte) + 1)
  end
  local level = ({ "error", "warning", "note" })[found.severity]
  local range = place(found.lnum, found.col) .. "-" .. place(found.end_lnum, found.end_col)
  return table.concat({ "finding", level, found.code, range, path }, " ")
end

local function list(files)
  local buffer, id = open(files[1])
  -- The answer comes after the analysis has, and what was found.
  local position = vim.lsp.util.make_position_params(0, "utf-16")
  assert(vim.lsp.buf_request_sync(buffer, "textDocument/hover", position, SECONDS_MAX * 1000)[id])
  for _, found in ipairs(vim.diagnostic.get()) do
    io.stdout:write(shown(found) .. "\n")
  end
  vim.lsp.stop_client(id)
  vim.cmd("quitall")
end

local function edit(file)
  local buffer, id = open(file)
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

local fine, message = pcall(function()
  if vim.env.RACEFREE_FILES then
    list(vim.split(vim.env.RACEFREE_FILES, "\n"))
  else
    edit(vim.env.RACEFREE_FILE)
  end
end)
if not fine then
  leave(message)
end
