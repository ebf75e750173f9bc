defmodule Names do
  # 🐎 is one character, two units of UTF-16 and four bytes; 👩‍👧 is three characters and one sign.
  def find(name), do: {"🐎👩‍👧", Process.whereis(name)} |> elem(1)

  def ask(name), do: {"größe 🐎", "👩‍👧", GenServer.call(find(name), :ask)}

  def tell(name) do
    # racefree:allow nil_pid_call - it is registered before anything else starts
    {"🐎", send(find(name), :tell)}
  end

  def nothing, do: "👩‍👧 𝄞" # racefree:allow no_such_rule - nothing of this name
end
